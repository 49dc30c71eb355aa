"""The native kernel that hashes the dirty nodes of tries, as LLVM assembly.

What it means is said by `chain.trie_update.Work`, which it must equal for branches whose
child references are all hashes or empty, and leaves of 32 bytes or more: `chain.trie_growth`
sees to that. It is compiled together with `chain.crypto.kernels`, whose `keccak_many` it calls.

void hash_trie(leaves, numbers, leaf_count, old, branch_count, level_count, work, tops, new):
the leaves' RLP lies one after another in `leaves`, the branches' records as they were in `old`,
parents before their children and level by level. `numbers` are 64 bits each: where each leaf
begins and, after them, where the last one ends; a place for each leaf; two numbers for each
branch; how many branches are in each level, the deepest first. The new record of branch i is
written to `new` at RECORD_BYTES times i.

A place is sixteen times the number of the parent branch, and the child's index in it; or
-1 - t for the top node of trie t, whose hash is written to `tops`. The two numbers of a branch
are its new masks, that of leaves times 65536 plus that of branches, and its place.
"""

from typing import Final

EXTENSION_MAX: Final = 40  # nibbles; so many that the extension's node is a short list
RECORD_BYTES: Final = 576  # between records; the longest has 5 + 40 + 528
_MESSAGE_BYTES: Final = 536  # at least those of a branch's RLP
_WORK_BYTES: Final = 512 + _MESSAGE_BYTES + 8 + 8 + 32  # for each node
TRIE: Final = """
define internal void @place(ptr %refs, ptr %tops, i64 %place, ptr %hash) {
entry:
  %is.top = icmp slt i64 %place, 0
  %top = xor i64 %place, -1
  %number = select i1 %is.top, i64 %top, i64 %place
  %base = select i1 %is.top, ptr %tops, ptr %refs
  %offset = mul i64 %number, 32
  %at = getelementptr i8, ptr %base, i64 %offset
  call void @llvm.memcpy.p0.p0.i64(ptr %at, ptr %hash, i64 32, i1 false)
  ret void
}

; The nibbles of a record's extension.
define internal i64 @extension(ptr %record) {
entry:
  %at = getelementptr i8, ptr %record, i64 4
  %byte = load i8, ptr %at
  %count = zext i8 %byte to i64
  ret i64 %count
}

; The references of a body, each at its index; gives where the body ends.
define internal ptr @expand(ptr %body, i64 %filled, ptr %refs) {
entry:
  br label %child

child:
  %k = phi i64 [0, %entry], [%k1, %next]
  %at = phi ptr [%body, %entry], [%at1, %next]
  %mask = lshr i64 %filled, %k
  %bit = trunc i64 %mask to i1
  br i1 %bit, label %copy, label %skip

copy:
  %from = getelementptr i8, ptr %at, i64 1
  %to.offset = mul i64 %k, 32
  %to = getelementptr i8, ptr %refs, i64 %to.offset
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 32, i1 false)
  br label %next

skip:
  br label %next

next:
  %size = phi i64 [33, %copy], [1, %skip]
  %at1 = getelementptr i8, ptr %at, i64 %size
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, 16
  br i1 %more, label %child, label %done

done:
  ret ptr %at1
}

; The body of references; gives where it ends.
define internal ptr @contract(ptr %refs, i64 %filled, ptr %body) {
entry:
  br label %child

child:
  %k = phi i64 [0, %entry], [%k1, %next]
  %at = phi ptr [%body, %entry], [%at1, %next]
  %mask = lshr i64 %filled, %k
  %bit = trunc i64 %mask to i1
  br i1 %bit, label %copy, label %skip

copy:
  store i8 -96, ptr %at
  %to = getelementptr i8, ptr %at, i64 1
  %from.offset = mul i64 %k, 32
  %from = getelementptr i8, ptr %refs, i64 %from.offset
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 32, i1 false)
  br label %next

skip:
  store i8 -128, ptr %at
  br label %next

next:
  %size = phi i64 [33, %copy], [1, %skip]
  %at1 = getelementptr i8, ptr %at, i64 %size
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, 16
  br i1 %more, label %child, label %done

done:
  ret ptr %at1
}

define internal i8 @nibble(ptr %digits, i64 %index) {
entry:
  %at = getelementptr i8, ptr %digits, i64 %index
  %digit = load i8, ptr %at
  %low = and i8 %digit, 15
  %letter = lshr i8 %digit, 6
  %nine = mul i8 %letter, 9
  %value = add i8 %low, %nine
  ret i8 %value
}

; Put the hash of an extension over a node in the place of the node's hash.
define internal void @extend(ptr %digits, i64 %count, ptr %hash) {
entry:
  %node = alloca [64 x i8], align 16
  %offsets = alloca [2 x i64]
  %half = lshr i64 %count, 1
  %path.size = add i64 %half, 1
  %odd = and i64 %count, 1
  %is.odd = icmp ne i64 %odd, 0
  %is.long = icmp ugt i64 %path.size, 1
  %prefix.size = zext i1 %is.long to i64
  %rest.size = add i64 %path.size, 33
  %payload.size = add i64 %rest.size, %prefix.size
  %payload.byte = trunc i64 %payload.size to i8
  %list.byte = add i8 %payload.byte, -64
  store i8 %list.byte, ptr %node
  %prefix.at = getelementptr i8, ptr %node, i64 1
  %path.byte = trunc i64 %path.size to i8
  %string.byte = add i8 %path.byte, -128
  store i8 %string.byte, ptr %prefix.at
  %path.at = getelementptr i8, ptr %prefix.at, i64 %prefix.size
  br i1 %is.odd, label %odd.flag, label %even.flag

odd.flag:
  %first = call i8 @nibble(ptr %digits, i64 0)
  %odd.byte = or i8 %first, 16
  br label %flag

even.flag:
  br label %flag

flag:
  %flag.byte = phi i8 [%odd.byte, %odd.flag], [0, %even.flag]
  store i8 %flag.byte, ptr %path.at
  %some = icmp ult i64 %odd, %count
  br i1 %some, label %pair, label %ended

pair:
  %i = phi i64 [%odd, %flag], [%i2, %pair]
  %at = phi ptr [%path.at, %flag], [%at1, %pair]
  %i1 = add i64 %i, 1
  %i2 = add i64 %i, 2
  %at1 = getelementptr i8, ptr %at, i64 1
  %high = call i8 @nibble(ptr %digits, i64 %i)
  %low = call i8 @nibble(ptr %digits, i64 %i1)
  %shifted = shl i8 %high, 4
  %byte = or i8 %shifted, %low
  store i8 %byte, ptr %at1
  %more = icmp ult i64 %i2, %count
  br i1 %more, label %pair, label %ended

ended:
  %child.at = getelementptr i8, ptr %path.at, i64 %path.size
  store i8 -96, ptr %child.at
  %hash.at = getelementptr i8, ptr %child.at, i64 1
  call void @llvm.memcpy.p0.p0.i64(ptr %hash.at, ptr %hash, i64 32, i1 false)
  %node.size = add i64 %payload.size, 1
  store i64 0, ptr %offsets
  %offsets.end = getelementptr i64, ptr %offsets, i64 1
  store i64 %node.size, ptr %offsets.end
  call void @keccak_many(ptr %node, ptr %offsets, i64 1, ptr %hash)
  ret void
}

; The new record of a branch, and the RLP of its node; gives where the RLP ends.
define internal ptr @encode(ptr %refs, i64 %masks, ptr %old, ptr %message, ptr %record) {
entry:
  %extension = call i64 @extension(ptr %old)
  %digits = getelementptr i8, ptr %old, i64 5
  %branches = and i64 %masks, 65535
  %leaves = lshr i64 %masks, 16
  %filled = or i64 %leaves, %branches
  %head = trunc i64 %masks to i32
  %head.swapped = call i32 @llvm.bswap.i32(i32 %head)
  store i32 %head.swapped, ptr %record, align 1
  %size.at = getelementptr i8, ptr %record, i64 4
  %size.byte = trunc i64 %extension to i8
  store i8 %size.byte, ptr %size.at
  %digits.at = getelementptr i8, ptr %record, i64 5
  call void @llvm.memcpy.p0.p0.i64(ptr %digits.at, ptr %digits, i64 %extension, i1 false)
  %body = getelementptr i8, ptr %digits.at, i64 %extension
  %body.end = call ptr @contract(ptr %refs, i64 %filled, ptr %body)
  %body.from = ptrtoint ptr %body to i64
  %body.to = ptrtoint ptr %body.end to i64
  %body.size = sub i64 %body.to, %body.from
  %payload = add i64 %body.size, 1
  %payload.low = trunc i64 %payload to i8
  %message1 = getelementptr i8, ptr %message, i64 1
  %message2 = getelementptr i8, ptr %message, i64 2
  %is.long = icmp ugt i64 %payload, 255
  br i1 %is.long, label %long, label %short

long:
  store i8 -7, ptr %message
  %payload.shifted = lshr i64 %payload, 8
  %payload.high = trunc i64 %payload.shifted to i8
  store i8 %payload.high, ptr %message1
  store i8 %payload.low, ptr %message2
  br label %whole

short:
  store i8 -8, ptr %message
  store i8 %payload.low, ptr %message1
  br label %whole

whole:
  %prefix = phi i64 [3, %long], [2, %short]
  %content = getelementptr i8, ptr %message, i64 %prefix
  call void @llvm.memcpy.p0.p0.i64(ptr %content, ptr %body, i64 %body.size, i1 false)
  %value = getelementptr i8, ptr %content, i64 %body.size
  store i8 -128, ptr %value
  %end = getelementptr i8, ptr %value, i64 1
  ret ptr %end
}

define void @hash_trie(ptr %leaves, ptr %numbers, i64 %leaf.count, ptr %old, i64 %branch.count,
                       i64 %level.count, ptr %work, ptr %tops, ptr %new) {
entry:
  %ends = add i64 %leaf.count, 1
  %places = getelementptr i64, ptr %numbers, i64 %ends
  %rows = getelementptr i64, ptr %places, i64 %leaf.count
  %rows.size = mul i64 %branch.count, 2
  %counts = getelementptr i64, ptr %rows, i64 %rows.size
  %refs.size = mul i64 %branch.count, 512
  %messages = getelementptr i8, ptr %work, i64 %refs.size
  %messages.size = mul i64 %branch.count, MESSAGE_BYTES
  %offsets = getelementptr i8, ptr %messages, i64 %messages.size
  %branch.ends = add i64 %branch.count, 1
  %records = getelementptr i64, ptr %offsets, i64 %branch.ends
  %hashes = getelementptr ptr, ptr %records, i64 %branch.count
  br label %load

load:
  %b = phi i64 [0, %entry], [%b1, %loading]
  %load.record = phi ptr [%old, %entry], [%load.end, %loading]
  %loads = icmp ult i64 %b, %branch.count
  br i1 %loads, label %loading, label %loaded

loading:
  %load.record.at = getelementptr ptr, ptr %records, i64 %b
  store ptr %load.record, ptr %load.record.at
  %load.head = load i32, ptr %load.record, align 1
  %load.masks = call i32 @llvm.bswap.i32(i32 %load.head)
  %load.leaves = lshr i32 %load.masks, 16
  %load.mixed = or i32 %load.masks, %load.leaves
  %load.both = and i32 %load.mixed, 65535
  %load.filled = zext i32 %load.both to i64
  %load.extension = call i64 @extension(ptr %load.record)
  %load.digits = getelementptr i8, ptr %load.record, i64 5
  %load.body = getelementptr i8, ptr %load.digits, i64 %load.extension
  %load.refs.offset = mul i64 %b, 512
  %load.refs = getelementptr i8, ptr %work, i64 %load.refs.offset
  %load.end = call ptr @expand(ptr %load.body, i64 %load.filled, ptr %load.refs)
  %b1 = add i64 %b, 1
  br label %load

loaded:
  call void @keccak_many(ptr %leaves, ptr %numbers, i64 %leaf.count, ptr %hashes)
  br label %leaf

leaf:
  %f = phi i64 [0, %loaded], [%f1, %leafing]
  %leafs = icmp ult i64 %f, %leaf.count
  br i1 %leafs, label %leafing, label %level

leafing:
  %leaf.place.at = getelementptr i64, ptr %places, i64 %f
  %leaf.place = load i64, ptr %leaf.place.at
  %leaf.hash.offset = mul i64 %f, 32
  %leaf.hash = getelementptr i8, ptr %hashes, i64 %leaf.hash.offset
  call void @place(ptr %work, ptr %tops, i64 %leaf.place, ptr %leaf.hash)
  %f1 = add i64 %f, 1
  br label %leaf

level:
  %v = phi i64 [0, %leaf], [%v1, %hang]
  %end = phi i64 [%branch.count, %leaf], [%first, %hang]
  %levels = icmp ult i64 %v, %level.count
  br i1 %levels, label %leveling, label %finished

leveling:
  %count.at = getelementptr i64, ptr %counts, i64 %v
  %count = load i64, ptr %count.at
  %first = sub i64 %end, %count
  %v1 = add i64 %v, 1
  br label %encode

encode:
  %e = phi i64 [0, %leveling], [%e1, %encoding]
  %message = phi ptr [%messages, %leveling], [%message1, %encoding]
  %message.to = ptrtoint ptr %message to i64
  %message.from = ptrtoint ptr %messages to i64
  %message.offset = sub i64 %message.to, %message.from
  %offset.at = getelementptr i64, ptr %offsets, i64 %e
  store i64 %message.offset, ptr %offset.at
  %encodes = icmp ult i64 %e, %count
  br i1 %encodes, label %encoding, label %hash

encoding:
  %encode.index = add i64 %first, %e
  %encode.row.index = mul i64 %encode.index, 2
  %encode.row = getelementptr i64, ptr %rows, i64 %encode.row.index
  %encode.masks = load i64, ptr %encode.row
  %encode.refs.offset = mul i64 %encode.index, 512
  %encode.refs = getelementptr i8, ptr %work, i64 %encode.refs.offset
  %encode.old.at = getelementptr ptr, ptr %records, i64 %encode.index
  %encode.old = load ptr, ptr %encode.old.at
  %encode.new.offset = mul i64 %encode.index, RECORD_BYTES
  %encode.new = getelementptr i8, ptr %new, i64 %encode.new.offset
  %message1 = call ptr @encode(ptr %encode.refs, i64 %encode.masks, ptr %encode.old,
                               ptr %message, ptr %encode.new)
  %e1 = add i64 %e, 1
  br label %encode

hash:
  call void @keccak_many(ptr %messages, ptr %offsets, i64 %count, ptr %hashes)
  br label %hang

hang:
  %h = phi i64 [0, %hash], [%h1, %hung]
  %hangs = icmp ult i64 %h, %count
  br i1 %hangs, label %hanging, label %level

hanging:
  %hang.index = add i64 %first, %h
  %hang.row.index = mul i64 %hang.index, 2
  %hang.row = getelementptr i64, ptr %rows, i64 %hang.row.index
  %hang.place.at = getelementptr i64, ptr %hang.row, i64 1
  %hang.place = load i64, ptr %hang.place.at
  %hang.hash.offset = mul i64 %h, 32
  %hang.hash = getelementptr i8, ptr %hashes, i64 %hang.hash.offset
  %hang.record.at = getelementptr ptr, ptr %records, i64 %hang.index
  %hang.record = load ptr, ptr %hang.record.at
  %hang.extension = call i64 @extension(ptr %hang.record)
  %extended = icmp ne i64 %hang.extension, 0
  br i1 %extended, label %extending, label %hung

extending:
  %hang.digits = getelementptr i8, ptr %hang.record, i64 5
  call void @extend(ptr %hang.digits, i64 %hang.extension, ptr %hang.hash)
  br label %hung

hung:
  call void @place(ptr %work, ptr %tops, i64 %hang.place, ptr %hang.hash)
  %h1 = add i64 %h, 1
  br label %hang

finished:
  ret void
}

declare i32 @llvm.bswap.i32(i32)
""".replace("MESSAGE_BYTES", str(_MESSAGE_BYTES)).replace("RECORD_BYTES", str(RECORD_BYTES))


def work_bytes(leaves: int, branches: int) -> int:
    """The size of `work`: references, messages, offsets, where records are, hashes."""
    return _WORK_BYTES * branches + 32 * leaves + 8
