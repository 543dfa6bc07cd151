# Redis users who are limited to the keys and channels below one prefix. Sourced after resp.sh.

# random_hex BYTES: print two digits for each byte.
random_hex() {
    digits=$(od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n')
    [ "${#digits}" -eq $((2 * $1)) ] || die "There are no random numbers in /dev/urandom."
    printf '%s' "$digits"
}

# make_user NAME PASSWORD PREFIX [RULE...]
# Beyond the dangerous commands, such a user may not use those that show the names of other users' keys and channels,
# or drop scripts that all users share. A user who is there already is made anew.
make_user() {
    local limited="$1" secret="$2" below="$3"
    shift 3
    ask +OK ACL SETUSER "$limited" reset on ">$secret" "~$below*" "&$below*" +@all -@admin -@dangerous \
        -scan -randomkey -pubsub '-client|tracking' -function '-script|flush' '-script|kill' "$@"
}

# delete_user NAME: a user who does not exist any more is a success.
delete_user() {
    ask ':*' ACL DELUSER "$1"
    case $reply in
        :0) say "The user $1 was gone already." ;;
        *) say "Deleted the user $1." ;;
    esac
}

# find_users PREFIX: sets `users` to the names that begin with PREFIX. Redis allows no blank in a name.
find_users() {
    users=
    ask '[*]*' ACL USERS
    count=${reply#\*}
    while [ "$count" -gt 0 ]; do
        read_line # the length of the name
        read_line
        case $reply in "$1"*) users="$users $reply" ;; esac
        count=$((count - 1))
    done
}

# Users live until Redis ends, unless it keeps them in a file: then that file has to follow.
save_users() {
    call ACL SAVE
    case $reply in
        +OK | *'not configured to use an ACL file'*) ;;
        *) say "Redis has not saved its users: $(complaint)." ;;
    esac
}

# authority HOST PORT: print them as they stand in a URL.
authority() {
    case $1 in
        *:*) printf '[%s]:%s' "$1" "$2" ;;
        *) printf '%s:%s' "$1" "$2" ;;
    esac
}
