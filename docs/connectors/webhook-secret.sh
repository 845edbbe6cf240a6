#!/bin/sh
# Makes a secret for a webhook target and puts it before those that are in FILE already, which only its owner may read:
#
#   webhook-secret.sh FILE
#
# To change a secret without a call that fails: run this, copy FILE to the receiver, restart both servers in any order,
# then delete the last line on both sides.
set -eu
file=$1
umask 077
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
printf 'whsec_%s\n' "$(head -c 32 /dev/urandom | base64)" >"$new"
if [ -e "$file" ]; then
    cat "$file" >>"$new"
    # Whoever could read it still can: the server, when root runs this.
    chown --reference="$file" "$new"
fi
mv "$new" "$file"
