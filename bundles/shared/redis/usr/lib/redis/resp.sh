# Talks to Redis (RESP2) through busybox's nc: every command is sent, and its reply read, before the next one.
# Sourced by the entrypoint, which has `die`. Secrets pass through builtins and pipes only, never through the
# arguments of a process. Uses descriptors 3 (to Redis) and 4 (from Redis) and two names in $HOME.
# `timeout` and `read -t` count seconds; the latter is ash's, not POSIX.

CRLF=$(printf '\r\n.')
CRLF=${CRLF%.}

# connect HOST PORT [SECONDS]: the connection ends after SECONDS, 60 where they are not given.
connect() {
    peer="Redis at $1 port $2"
    # A connection that breaks shall be reported, not end this shell by a signal.
    trap '' PIPE
    mkfifo "$HOME/to-redis" "$HOME/from-redis"
    timeout "${3:-60}" nc -w 10 "$1" "$2" <"$HOME/to-redis" >"$HOME/from-redis" &
    exec 3>"$HOME/to-redis" 4<"$HOME/from-redis"
}

# An array of strings, each with its length in bytes (LC_ALL=C), so that a value may hold any character. It is
# written at once: in many small packets, each would wait for the one before it to be acknowledged.
send() {
    message="*$#$CRLF"
    for word; do
        message="$message\$${#word}$CRLF$word$CRLF"
    done
    printf '%s' "$message" >&3
}

# read_line: sets `reply` to the next line that Redis sends.
read_line() {
    IFS= read -r -t 10 reply <&4 || die "There is no answer from $peer."
    reply=${reply%"${CRLF%?}"}
}

# call COMMAND...: sets `reply` to the line that Redis answers with.
call() {
    send "$@" 2>/dev/null || die "The connection to $peer is lost."
    read_line
}

# What Redis complains about, up to the first quotation mark: behind one it repeats what it was sent.
complaint() { printf '%s' "${reply#-}" | sed "s/[\`'\"].*//; s/[ ,:.]*\$//" | tr -cd ' -~'; }

# ask PATTERN COMMAND...: fails unless the reply fits the pattern.
ask() {
    expected=$1
    shift
    call "$@"
    command=$1
    [ "$1" != ACL ] || command="ACL $2"
    case $reply in
        $expected) ;;
        -*) die "$peer refuses $command: $(complaint)." ;;
        *) die "$peer gives an answer to $command that Redis does not give." ;;
    esac
}

# log_in USERNAME PASSWORD: either or both may be empty.
log_in() {
    if [ -n "$1" ]; then
        ask +OK AUTH "$1" "$2"
    elif [ -n "$2" ]; then
        ask +OK AUTH "$2"
    fi
}

# Does not fail: Redis has acknowledged all that came before.
hang_up() {
    send QUIT 2>/dev/null && read -r -t 10 reply <&4 || :
    exec 3>&- 4<&-
    wait
}
