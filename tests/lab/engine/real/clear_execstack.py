"""clear_execstack.py DIRECTORY: takes the executable-stack flag from the shared libraries under DIRECTORY.

The image's libc (2.41 and newer) refuses to load a library that asks for an executable stack. libintel-ext-pt-cpu.so
asks, by an assembler file that forgot to say that it does not need one.
"""

import pathlib
import struct
import sys

PT_GNU_STACK = 0x6474E551
PF_X = 1


def clear(path: pathlib.Path) -> bool:
    """Clears the flag in one file; says whether it was set. Only 64-bit little-endian ELF, which is all there is here."""
    with path.open("r+b") as file:
        header = file.read(64)
        if header[:6] != b"\x7fELF\x02\x01":
            return False
        (table,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        for index in range(count):
            file.seek(table + index * size)
            kind, flags = struct.unpack("<II", file.read(8))
            if kind == PT_GNU_STACK and flags & PF_X:
                file.seek(table + index * size + 4)
                file.write(struct.pack("<I", flags & ~PF_X))
                return True
    return False


def main() -> None:
    for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and clear(path):
            print(f"engine: executable stack cleared: {path.name}")


if __name__ == "__main__":
    main()
