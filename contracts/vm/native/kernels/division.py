"""Division of up to 512 by 256 bits: Knuth's algorithm D on 64-bit words.

Sources: TAOCP 4.3.1; Moeller and Granlund, "Improved division by invariant integers".
"""

from contracts.vm.native.records import U64, Words
from contracts.vm.native.words import inlined, leading_zeros, mul_high, room

LOW_HALF = 2**32 - 1
ONES = 2**64 - 1


def reciprocal(divisor: U64) -> U64:
    """floor((2^128 - 1) / divisor) - 2^64, for a divisor with its highest bit set.

    Schoolbook division in base 2^32: each quotient digit is guessed from the upper
    half of the divisor and corrected at most twice.
    """
    high = divisor >> 32
    low = divisor & LOW_HALF
    rest = ~divisor
    upper = rest // high
    left = rest - upper * high
    while upper >> 32 != 0 or (left >> 32 == 0 and upper * low > ((left << 32) | LOW_HALF)):
        upper -= 1
        left += high
    rest = (rest << 32) + LOW_HALF - upper * divisor
    lower = rest // high
    left = rest - lower * high
    while lower >> 32 != 0 or (left >> 32 == 0 and lower * low > ((left << 32) | LOW_HALF)):
        lower -= 1
        left += high
    return (upper << 32) + lower


@inlined
def divide_two(high: U64, low: U64, divisor: U64, inverse: U64, rest: Words) -> U64:
    """(high, low) / divisor, where high < divisor; `inverse` is the divisor's reciprocal."""
    product = inverse * high
    quotient_low = product + low
    quotient = mul_high(inverse, high) + high + (quotient_low < product) + 1
    left = low - quotient * divisor
    if left > quotient_low:
        quotient -= 1
        left += divisor
    if left >= divisor:
        quotient += 1
        left -= divisor
    rest[0] = left
    return quotient


def divide(quotient: Words, remainder: Words, dividend: Words, count: U64, divisor: Words) -> None:
    """Divide `count` words by 4. All of `quotient` (count words) and `remainder` (4) are set.

    Division by 0 gives 0 and 0.
    """
    for i in range(count):
        quotient[i] = 0
    for i in range(4):
        remainder[i] = 0
    m = 4
    while m > 0 and divisor[m - 1] == 0:
        m -= 1
    if m == 0:
        return
    n = count
    while n > 0 and dividend[n - 1] == 0:
        n -= 1
    if n < m:
        for i in range(n):
            remainder[i] = dividend[i]
        return
    if n == 1:
        quotient[0] = dividend[0] // divisor[0]
        remainder[0] = dividend[0] - quotient[0] * divisor[0]
        return
    # Shift both so that the divisor's highest bit is set.
    shift = leading_zeros(divisor[m - 1])
    back = 63 - shift  # then one more: a shift by 64 is undefined
    d = room(4)
    w = room(9)
    i = m - 1
    while i > 0:
        d[i] = (divisor[i] << shift) | (divisor[i - 1] >> 1 >> back)
        i -= 1
    d[0] = divisor[0] << shift
    w[n] = dividend[n - 1] >> 1 >> back
    i = n - 1
    while i > 0:
        w[i] = (dividend[i] << shift) | (dividend[i - 1] >> 1 >> back)
        i -= 1
    w[0] = dividend[0] << shift
    top = d[m - 1]
    inverse = reciprocal(top)
    rest = room(1)
    if m == 1:
        rest[0] = w[n]
        j = n
        while j > 0:
            j -= 1
            quotient[j] = divide_two(rest[0], w[j], top, inverse, rest)
        remainder[0] = rest[0] >> shift
        return
    second = d[m - 2]
    j = n - m + 1
    while j > 0:
        j -= 1
        # Guess a digit from the three highest words; it is at most 1 too large.
        highest = w[j + m]
        guess = ONES
        if highest < top:
            guess = divide_two(highest, w[j + m - 1], top, inverse, rest)
            high = mul_high(guess, second)
            if high > rest[0] or (high == rest[0] and guess * second > w[j + m - 2]):
                guess -= 1
        borrow = 0
        for i in range(m):
            before = w[i + j]
            after = before - borrow
            carry: U64 = before < borrow
            low = guess * d[i]
            w[i + j] = after - low
            borrow = mul_high(guess, d[i]) + carry + (after < low)
        w[j + m] = highest - borrow
        if highest < borrow:
            guess -= 1
            more: U64 = 0
            for i in range(m):
                partial = w[i + j] + more
                over: U64 = partial < more
                w[i + j] = partial + d[i]
                more = over + (partial + d[i] < partial)
            w[j + m] = w[j + m] + more
        quotient[j] = guess
    for i in range(m):
        remainder[i] = (w[i] >> shift) | (w[i + 1] << 1 << back)
