#!/bin/sh
# chat_kill.sh - kills a run that asks a model at random instants: how many requests are sent twice?
#
#     ./bootstrap bench chat_kill [KILLS [TEXTS [LATENCY]]]
#
# 50 kills over 2,000 texts of 100 ms, 16 at once. Begun again each time, the run must end with the
# run.db of one that nobody killed, and the server must have received one request a text and those
# that were in flight at a kill. Prints the count, and fails if anything differs.
set -eu

build=${SILR_BUILD:?set it to the build folder}
export CHAT_SERVER="$build/tests/server/chat_server" SILR="$build/src/cli/silr"
exec "$build/tests/chat/test_chat_kill" "${1:-50}" "${2:-2000}" "${3:-100}"
