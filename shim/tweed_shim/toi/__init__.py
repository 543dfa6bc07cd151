"""TOI, the Tiny OCM Installer: run the actions with which a component version installs itself.

Source: `ocm toi-bootstrapping` of the reference implementation. The way of `toi bootstrap ACTION COMPONENT`:
`package_resources` finds and reads the package, `executor_lookup` the executor and its image, `preparation` makes the
configuration, parameters and credentials, `bootstrap` runs the image and collects its `outputs`. `executor` is a
library for the programs inside of such images, and the rest of the package does not use it. Nothing of the Tweed
contract enters here.
"""
