# What postgres-backend and postgres-pattern have in common. Sourced by an entrypoint, which sets `program` and `lib`, the
# directory of its own scripts in SQL. The connection is in the variables of libpq (PGHOST and so on).
#
# No secret is an argument of a process: passwords reach psql through its stdin, its environment or a password file.

common=/usr/lib/postgres
export PGCONNECT_TIMEOUT=10 PGCLIENTENCODING=UTF8 PGAPPNAME="$program"

# psql itself: Debian has it in a directory of its version, behind a wrapper in Perl that this image goes without.
for directory in /usr/lib/postgresql/*/bin; do
    PATH=$directory:$PATH
done

say() { printf '%s: %s\n' "$program" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

random_hex() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

# A YAML scalar in single quotes has one rule: a quote is doubled. The text must not hold a line break.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"; }

peer() { printf 'PostgreSQL at %s port %s' "$PGHOST" "$PGPORT"; }

# What psql says about a failure, on one line. The prompts are those of \password.
complaint() {
    sed '/^Enter /d; s/^psql:[^ ]* //; s/^error: //; s/^connection to server at .* failed: //; s/^[A-Z]*:  *//' "$HOME/complaint" |
        sed -n '1{s/[ .]*$//;p;}' | tr -d '\000-\037\177'
}

# sql SCRIPT [-v NAME=VALUE]...: run a script in SQL, and print its rows. In a session of its own, because \password
# reads from a terminal where there is one, and from stdin where there is none.
sql() {
    script=$1
    shift
    setsid psql -XqAt -v ON_ERROR_STOP=1 -v VERBOSITY=terse -v SHOW_CONTEXT=never "$@" -f "$script.sql" \
        2>"$HOME/complaint" || die "$(peer): $(complaint)."
}

# As `sql`, with the password in $1 as the new one of \password, which wants it twice.
sql_with_password() {
    new=$1
    shift
    printf '%s\n%s\n' "$new" "$new" | sql "$@"
}

# drop_role ROLE [HEIR]: end the role's sessions and drop it. What it owns goes to HEIR, or is dropped where none is named.
# A role that is not there is a success. Sets `gone` to "already" then.
drop_role() {
    gone=already
    databases=$(sql "$common/retire" -v "role=$1")
    [ "$databases" != - ] || return 0
    gone=
    # Objects can be reached only from the database that they are in.
    printf '%s\n' "$databases" | while IFS= read -r database; do
        [ -z "$database" ] || PGDATABASE=$database sql "$common/bequeath" -v "role=$1" -v "heir=${2-}"
    done
    sql "$common/drop" -v "role=$1"
}
