"""Fail when an ISA's object file defines symbols that could displace another ISA's code.

The linker keeps one copy of each weak symbol. If a unit compiled with AVX-512 flags defines a
weak ``std::min<int>``, that copy may be the one that baseline code calls, and an older machine
dies on it. So every symbol an ISA unit shares with the linker must lie in its own namespace.
Dynamic initialisers are refused as well: they would run before the machine has been examined.

Usage: check_symbols.py NM ISA OBJECT...
"""

import re
import subprocess
import sys


def offending_symbols(nm: str, isa: str, objects: list[str]) -> list[str]:
    """Return one line for each rule that a symbol of the object files breaks."""
    listing = subprocess.run(
        [nm, "--portability", *objects], check=True, capture_output=True, text=True
    ).stdout
    # Itanium mangling: tables and guards carry a prefix, entities inside functions a Z.
    own_namespace = re.compile(rf"_Z(?:T[VTISC]|G[VR])?Z*N[rVKRO]*8fastconv{len(isa)}{isa}")
    kernel_table = f"_ZN8fastconv{len(isa)}{isa}12kernel_tableE"
    complaints = []
    has_kernel_table = False
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) < 2:
            continue
        name, kind = fields[0], fields[1]
        if name.startswith("_GLOBAL__sub_I_"):
            complaints.append(f"dynamic initialiser: {name}")
        is_shared = kind in "uvw" or (kind.isupper() and kind != "U")
        # Lower-case v and w are weak references, not definitions.
        if kind in "vw" or not is_shared:
            continue
        has_kernel_table |= name == kernel_table
        if not own_namespace.match(name):
            complaints.append(f"symbol outside fastconv::{isa} (kind {kind}): {name}")
    if not has_kernel_table:
        complaints.append(f"missing: fastconv::{isa}::kernel_table")
    return complaints


def main() -> int:
    """Check the object files named on the command line."""
    nm, isa, *objects = sys.argv[1:]
    complaints = offending_symbols(nm, isa, objects)
    print("\n".join(complaints) or f"{isa}: every shared symbol lies in fastconv::{isa}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
