#!/bin/sh
# Installs a program for a command target, so that only root (or whoever runs this) can change it:
#
#   command-install.sh PROGRAM FOLDER
#
# FOLDER, such as /usr/local/lib/gatepass, is made if it is not there. Gatepass does not run a program that it, or any
# folder above it, could be changed by others; `gatepass-server check` says which one.
set -eu
program=$1 folder=$2
umask 022
install -d -m 755 "$folder"
install -m 755 "$program" "$folder/$(basename "$program")"
