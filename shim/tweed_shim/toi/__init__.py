"""TOI, the Tiny OCM Installer: what a component version says about its own installation, carried out."""
