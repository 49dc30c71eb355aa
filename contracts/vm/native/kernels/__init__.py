"""What is too long for a lowering, in the dialect that contracts.vm.native.dialect compiles."""
