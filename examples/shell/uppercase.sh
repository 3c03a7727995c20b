#!/bin/sh
# A plugin without code: each channel gets a process of its own that speaks
# through stdin and stdout. This one answers in capitals.
#
#   ./uppercase.sh [NAME] &
#   ./client.sh [NAME]
#
# $SWITCHBOARD_PEER is the key of the caller; stderr of the process is ours.
set -eu

name=${1:-org.example.shell.uppercase}
exec sbctl expose "$name" exec:sh -c 'echo "channel from $SWITCHBOARD_PEER" >&2; tr a-z A-Z'
