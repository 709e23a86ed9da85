#!/bin/sh
# Self-extracting archive, laid out as makeself's are: this header, then a tar.gz from line @LINES@ + 1 on.
umask 077
archive=$0
quiet=n

payload() { tail -n +$((@LINES@ + 1)) "$archive"; }

verify() {
  [ "$quiet" = y ] || printf 'Verifying archive integrity...  0%%\r'
  sum=$(payload | sha256sum | cut -d ' ' -f 1)
  if [ "$sum" != @SHA256@ ]; then
    echo "Error in SHA256 checksums: $sum is different from @SHA256@" >&2
    exit 2
  fi
  [ "$quiet" = y ] || echo 'Verifying archive integrity...  100%   SHA256 checksums are OK. All good.'
}

# makeself's own options come first; from the first other one on, everything belongs to the installer. The installers of
# Ascend take these, too: --quiet, --check.
for option in "$@"; do
  [ "$option" = --quiet ] && quiet=y
done
while [ $# -gt 0 ]; do
  case $1 in
    --nox11 | --accept | --noprogress) shift ;;
    --list) payload | tar -tzf - && exit 0 ;;
    --noexec) verify && exit 0 ;;
    *) break ;;
  esac
done

verify
directory=$(mktemp -d "${TMPDIR:-/tmp}/selfgz.XXXXXX") || exit 1
trap 'rm -rf "$directory"' EXIT
trap 'exit 143' TERM INT HUP
[ "$quiet" = y ] || printf 'Uncompressing @LABEL@  0%%\r'
payload | tar -xzf - -C "$directory" || exit 1
[ "$quiet" = y ] || echo 'Uncompressing @LABEL@  100%  '
python3 "$directory/install" "$@"
exit $?
