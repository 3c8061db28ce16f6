# What `start` and `switch` share: the two places, blue and green, as haproxy sees them.

# Says a command to haproxy; fails with its answer when it has one, as that is a complaint.
tell() {
    answer=$(printf '%s\n' "$1" | socat -t 5 - "UNIX-CONNECT:$DG_ENV_SOCKET")
    if [ -n "$answer" ]; then
        echo "haproxy: $answer" >&2
        return 1
    fi
}

# One field of a place's line in haproxy's statistics, by number.
field() {
    printf 'show stat\n' | socat -t 5 - "UNIX-CONNECT:$DG_ENV_SOCKET" |
        awk -F, -v backend="$DG_ENV_BACKEND" -v place="$1" -v number="$2" \
            '$1 == backend && $2 == place { print $number }'
}

is_live() {
    case $(field "$1" 18) in UP*) true ;; *) false ;; esac
}

is_quiet() {
    [ "$(field "$1" 5)" = 0 ]
}

other() {
    if [ "$1" = blue ]; then echo green; else echo blue; fi
}

# The place to fill: the one that is not live. When both are, after a change-over that was cut off, one is as good.
idle() {
    if is_live blue; then echo green; else echo blue; fi
}

address() {
    if [ "$1" = blue ]; then echo "$DG_ENV_BLUE"; else echo "$DG_ENV_GREEN"; fi
}

port() {
    address "$1" | sed 's/.*://'
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
    seconds=$1
    what=$2
    shift 2
    until=$(($(date +%s) + seconds))
    until "$@"; do
        if [ "$(date +%s)" -ge "$until" ]; then
            echo "waited $seconds s for $what" >&2
            return 1
        fi
        sleep 0.1
    done
}
