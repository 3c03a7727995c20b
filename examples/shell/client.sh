#!/bin/sh
# A client in the shell: waits for a name, tells who comes and goes meanwhile,
# sends its words, half-closes, and prints the answer.
#
#   ./client.sh [NAME [TEXT]]
set -eu

name=${1:-org.example.shell.uppercase}
text=${2:-hello}

sbctl whoami
sbctl list
sbctl watch "$name" & # until the end of this script
watch=$!
trap 'kill "$watch" 2>/dev/null || true' EXIT

sbctl wait "$name" # returns at once if it is there
answer=$(printf %s "$text" | sbctl connect "$name")
echo "answer: $answer"
