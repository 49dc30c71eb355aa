"""Native code made with llvmlite, behind Python definitions of the same; only here the import."""
