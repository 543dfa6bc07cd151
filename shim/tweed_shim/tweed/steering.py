"""Names of variables that steer a shell, or the programs that a shell starts: an image may set them only if allowed.

An environment that is evaluated (`eval "$(...)"`, `. file`, an env file) is set in the operator's shell, with the
operator's rights. With one of these names an image could run code there, or redirect the traffic and files of other
programs. docs/environment.md has the same table, and the names that are left out of it on purpose.

Sources: the manuals of bash, dash, ksh93, mksh, zsh and fish (every variable that they set or treat specially); the
lists of sudo ("env_delete", sudoers(5)) and of glibc ("unsecure environment variables", ld.so(8)); the manuals of the
interpreters and tools.
"""

from collections.abc import Collection, Iterable

from tweed_shim.base.records import Record


class Group(Record):
    """Variables that steer one kind of program, and how.

    A name belongs to the group if it is one of `names`, starts with one of `prefixes` or ends with one of `suffixes`.
    """

    steers: str
    how: str
    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Tell whether a name belongs to the group."""
        return name in self.names or name.startswith(self.prefixes) or name.endswith(self.suffixes)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


GROUPS = (
    Group(
        "shells",
        "which programs and files a shell runs: at its start, before each prompt, when it looks for a command, when it "
        "expands a prompt, a history line or a message about mail",
        _names(
            """
            CDPATH ENV EXECIGNORE EXECSHELL FCEDIT FIGNORE FPATH GLOBIGNORE GLOBSORT HISTEDIT HISTFILE HOME HOSTFILE
            IFS INPUTRC MAIL MAILCHECK MAILPATH MANPATH MODULE_PATH NULLCMD OLDPWD PATH PATHSEP POSIXLY_CORRECT PROMPT
            PROMPT2 PROMPT3 PROMPT4 PROMPT_COMMAND PROMPT_DIRTRIM PS0 PS1 PS2 PS3 PS4 PWD READNULLCMD RPROMPT RPROMPT2
            RPS1 RPS2 SHELL SPROMPT STTY SUSHELL TERM TERMCAP TERMINFO TERMINFO_DIRS TERMPATH TMPPREFIX ZDOTDIR
            auto_resume cdpath chpwd_functions fignore fpath mailpath manpath module_path path periodic_functions
            precmd_functions preexec_functions prompt psvar watch zshaddhistory_functions zshexit_functions
            """
        ),
        ("BASH", "COMP_", "DIRENV_", "READLINE_", "ZLE_", "ZSH", "__fish_", "fish_", "zle_", "zsh_"),
    ),
    Group(
        "the state of shells",
        "what shells set themselves: an assignment is an error that ends a script (UID), or an arithmetic expression, "
        "whose array indices may run commands (OPTIND)",
        _names(
            """
            ARGC BAUD CHILD_MAX CMD_DURATION COLUMNS COMPREPLY COPROC DIRSTACK DIRSTACKSIZE EGID EPOCHREALTIME
            EPOCHSECONDS ERRNO EUID FISH_VERSION FUNCNAME FUNCNEST GID GROUPS HISTCHARS HISTCMD HISTCONTROL
            HISTFILESIZE HISTIGNORE HISTSIZE HISTTIMEFORMAT HOSTTYPE IGNOREEOF INSIDE_EMACS JOBMAX KEYBOARD_HACK
            KEYTIMEOUT KSHEGID KSHGID KSHUID KSH_MATCH KSH_VERSION LINENO LINES LISTMAX LOGCHECK MACHTYPE MAPFILE
            OPTARG OPTERR OPTIND OSTYPE PERIOD PGRP PIPESTATUS PPID PSVAR RANDOM REPLY SAVEHIST SECONDS SHELLOPTS
            SHLVL SH_OPTIONS SRANDOM TIMEFMT TIMEFORMAT TMOUT TRY_BLOCK_ERROR TRY_BLOCK_INTERRUPT TTYIDLE UID USER_ID
            WATCH WATCHFMT WORDCHARS _ _AST_FEATURES aliases argv builtins commands dirstack dis_aliases dis_builtins
            dis_functions dis_functions_source dis_galiases dis_patchars dis_reswords dis_saliases epochtime errnos
            funcfiletrace funcsourcetrace funcstack functions functions_source functrace galiases histchars history
            historywords hostname ignoreeof jobdirs jobstates jobtexts keymaps langinfo mapfile modules nameddirs
            options parameters patchars pipestatus reswords saliases signals status status_generation sysparams
            termcap terminfo umask userdirs usergroups version widgets
            """
        ),
    ),
    Group(
        "the dynamic loader and the C library",
        "which code is loaded into every program, how names of hosts are looked up, and where catalogues of messages "
        "(formats of printf among them) and diagnostics are",
        _names(
            """
            ASAN_OPTIONS AUTHSTATE GCONV_PATH GCOV_PREFIX GETCONF_DIR GLIBC_TUNABLES GMON_OUT_PREFIX HESIOD_CONFIG
            HES_DOMAIN HOSTALIASES LIBPATH LLVM_PROFILE_FILE LOCALDOMAIN LOCPATH LSAN_OPTIONS MSAN_OPTIONS NLSPATH
            OUTPUT_CHARSET PATH_LOCALE PCPROFILE_OUTPUT RES_OPTIONS SEGFAULT_OUTPUT_NAME SHLIB_PATH TEXTDOMAIN
            TEXTDOMAINDIR TSAN_OPTIONS TZDIR UBSAN_OPTIONS VALGRIND_LIB
            """
        ),
        ("DYLD_", "LDR_", "LD_", "MALLOC_", "MEMUSAGE_", "NIS_", "RESOLV_", "SOTRUSS_", "_RLD"),
    ),
    Group(
        "places of files",
        "where every program looks for its configuration and puts temporary files",
        _names("NETRC TEMP TEMPDIR TMP TMPDIR"),
        ("XDG_",),
    ),
    Group(
        "programs that others start",
        "the program itself, which is often given to a shell: editors, pagers, browsers, askers of passwords",
        _names("KUBECTL_EXTERNAL_DIFF MORE PDSH_RCMD_TYPE RSYNC_CONNECT_PROG VISUAL"),
        ("FZF_", "LESS", "MAILCAP", "SUDO_", "SYSTEMD_"),
        ("ASKPASS", "BROWSER", "EDITOR", "PAGER", "_RSH"),
    ),
    Group(
        "Python",
        "which modules are imported at its start and from where, and which packages are installed from where",
        _names(
            """
            COVERAGE_PROCESS_START GUNICORN_CMD_ARGS IPYTHONDIR JUPYTER_CONFIG_DIR JUPYTER_CONFIG_PATH JUPYTER_PATH
            VIRTUAL_ENV _CE_CONDA _CE_M
            """
        ),
        ("CONDA_", "MAMBA_", "PIPENV_", "PIP_", "POETRY_", "PYENV_", "PYTEST_", "PYTHON", "UV_"),
    ),
    Group(
        "Perl, Ruby, PHP, Lua and Tcl",
        "which files and options are read at the start, and where modules are",
        _names("GEMRC IRBRC JRUBY_OPTS PHPRC PHP_INI_SCAN_DIR RAKEOPT TCLLIBPATH TCL_LIBRARY TK_LIBRARY"),
        ("BUNDLER_", "BUNDLE_", "COMPOSER_", "GEM_", "LUAROCKS_", "LUA_", "PERL", "RBENV_", "RUBY"),
    ),
    Group(
        "JavaScript",
        "options (`--require`), modules, certificates, and which packages are installed from where",
        _names(
            """
            ELECTRON_RUN_AS_NODE NODE_CHANNEL_FD NODE_COMPILE_CACHE NODE_EXTRA_CA_CERTS NODE_ICU_DATA NODE_OPTIONS
            NODE_PATH NODE_REDIRECT_WARNINGS NODE_REPL_EXTERNAL_MODULE NODE_REPL_HISTORY NODE_TLS_REJECT_UNAUTHORIZED
            NODE_V8_COVERAGE
            """
        ),
        ("BUN_", "COREPACK_", "DENO_", "NPM_CONFIG_", "NVM_", "PNPM_", "TS_NODE_", "YARN_", "npm_config_"),
    ),
    Group(
        "Java and .NET",
        "options (`-javaagent`), classes, profilers and hooks that are loaded into every program",
        _names(
            """
            ASPNETCORE_HOSTINGSTARTUPASSEMBLIES CLASSPATH GRADLE_USER_HOME JAVA_HOME JAVA_TOOL_OPTIONS JDK_HOME
            JDK_JAVAC_OPTIONS JRE_HOME MAVEN_ARGS
            """
        ),
        ("COMPlus_", "CORECLR_", "COR_", "DOTNET_", "MONO_", "MSBUILD", "NUGET_"),
        ("JAVA_OPTIONS", "_OPTS"),
    ),
    Group(
        "other interpreters",
        "which files are run at the start, and where modules and libraries are",
        _names(
            """
            AWKLIBPATH AWKPATH BC_ENV_ARGS CAML_LD_LIBRARY_PATH CLOUDSDK_PYTHON CLOUDSDK_PYTHON_ARGS
            CLOUDSDK_PYTHON_SITEPACKAGES DC_ENV_ARGS ELIXIR_ERL_OPTIONS EMACSDATA EMACSLOADPATH EXINIT GHCRTS
            GHC_ENVIRONMENT GHC_PACKAGE_PATH GVIMINIT M4PATH MYVIMRC NVIM_APPNAME OCAMLLIB OCAMLRUNPARAM OCTAVE_PATH
            VIM VIMINIT VIMRUNTIME
            """
        ),
        ("ERL_", "GUILE_", "JULIA_", "MIX_", "OPAM", "R_"),
    ),
    Group(
        "compilers and builds",
        "which programs, options and sources a build takes",
        _names(
            """
            ACLOCAL_PATH AR AS CC CFLAGS COMPILER_PATH CPATH CPLUS_INCLUDE_PATH CPP CPPFLAGS CXX CXXFLAGS
            C_INCLUDE_PATH FC GCC_EXEC_PREFIX GNUMAKEFLAGS GO111MODULE GOAUTH GOBIN GOCACHE GOCACHEPROG GODEBUG GOENV
            GOEXPERIMENT GOFLAGS GOINSECURE GOMODCACHE GONOPROXY GONOSUMDB GOPATH GOPRIVATE GOPROXY GOROOT GOSUMDB
            GOTOOLCHAIN GOTOOLDIR GOVCS GOWORK LD LDFLAGS LIBRARY_PATH MAKE MAKEFILES MAKEFLAGS MAKESHELL MFLAGS
            OBJC_INCLUDE_PATH RUSTC RUSTC_WORKSPACE_WRAPPER RUSTC_WRAPPER RUSTDOC RUSTDOCFLAGS RUSTFLAGS
            """
        ),
        ("CARGO_", "CCACHE_", "CGO_", "CMAKE_", "PKG_CONFIG", "RUSTUP_", "SCCACHE_"),
    ),
    Group(
        "git, ssh and other tools",
        "which programs, files of options and plugins a tool takes",
        _names(
            """
            APT_CONFIG AZURE_CONFIG_DIR AZURE_EXTENSION_DIR BUILDX_CONFIG CURL_HOME CVS_SERVER DISPLAY DOCKER_CONFIG
            GH_CONFIG_DIR GNUPGHOME GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES GPG_AGENT_INFO GREP_OPTIONS HG HGMERGE
            HGRCPATH MAILRC NOTIFY_SOCKET RIPGREP_CONFIG_PATH SCREENRC SSH_AGENT_PID SSH_ASKPASS_REQUIRE SSH_AUTH_SOCK
            SVN_SSH SYSSCREENRC TAR_OPTIONS TF_DATA_DIR TF_PLUGIN_CACHE_DIR TMUX TMUX_TMPDIR UNZIP UNZIPOPT
            VAULT_CONFIG_PATH WAYLAND_DISPLAY WGETRC XAUTHORITY ZIP ZIPINFO ZIPOPT
            """
        ),
        ("ACTIONS_", "ANSIBLE_", "COMPOSE_", "DBUS_", "DPKG_", "GIT_", "HELM_", "TF_CLI_", "TWEED_SHIM_"),
    ),
    Group(
        "plugins of clients and libraries",
        "files of commands that the clients of a database run at their start, and the modules that libraries load",
        _names(
            """
            DLC_ACE GDK_PIXBUF_MODULE_FILE GIO_EXTRA_MODULES GIO_MODULE_DIR GSS_MECH_CONFIG GST_PLUGIN_PATH
            GTK3_MODULES GTK_MODULES GTK_PATH KRB5RCACHEDIR KRB5_CONFIG KRB5_KTNAME KRB5_TRACE LIBGL_DRIVERS_PATH
            LIBVA_DRIVERS_PATH MARIADB_PLUGIN_DIR ODBCINI ODBCINSTINI ODBCSYSINI ORACLE_HOME ORACLE_PATH PSQLRC
            QML2_IMPORT_PATH QT_PLUGIN_PATH SASL_CONF_PATH SASL_PATH SQLCMDINI SQLPATH USR_ACE VAR_ACE
            """
        ),
        ("LIBMYSQL_", "OPENSSL_", "P11_KIT_"),
    ),
    Group(
        "the network of every program",
        "which proxies its traffic goes through, and which certificates it trusts",
        _names(
            """
            ALL_PROXY AUTO_PROXY CURL_CA_BUNDLE FTP_PROXY HTTPS_PROXY HTTP_PROXY NO_PROXY REQUESTS_CA_BUNDLE
            RSYNC_PROXY SOCKS_PROXY SSLKEYLOGFILE SSL_CERT_DIR SSL_CERT_FILE all_proxy ftp_proxy http_proxy
            https_proxy no_proxy socks_proxy
            """
        ),
    ),
)


# What decides which code a program runs, whatever the program is. The other groups name files and servers, which one
# image may well tell another.
CODE = tuple(
    group
    for group in GROUPS
    if group.steers
    in (
        "shells",
        "the dynamic loader and the C library",
        "programs that others start",
        "Python",
        "Perl, Ruby, PHP, Lua and Tcl",
        "JavaScript",
        "other interpreters",
    )
)


def what_steers(name: str, groups: Iterable[Group] = GROUPS) -> str | None:
    """Return what a variable of this name steers, or None. groups: only those."""
    return next((group.steers for group in groups if group.has(name)), None)


def steering(
    names: Iterable[str], *, allow: Collection[str] = (), groups: Iterable[Group] = GROUPS
) -> dict[str, str]:
    """Return the names that steer something and are not in `allow`, in their order, with what they steer."""
    steered = ((name, what_steers(name, groups)) for name in names if name not in allow)
    return {name: steers for name, steers in steered if steers is not None}
