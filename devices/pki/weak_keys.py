"""RSA keys whose private half can be computed: what a bad random source or a bad library leaves behind.

The list is that of the CA/Browser Forum's baseline requirements, 6.1.1.3 and 6.1.6, but for the Debian keys of 2008, which need
a blocklist of their own.
"""

from __future__ import annotations

import math

from cryptography.hazmat.primitives.asymmetric import rsa

_SMALL = [n for n in range(3, 752) if all(n % d for d in range(2, math.isqrt(n) + 1))]
_SMALL_PRODUCT = math.prod(_SMALL)
_FERMAT_ROUNDS = 100


def _powers(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))


# Primes of Infineon's library are k * M + 65537^a mod M with M a product of small primes, so modulo each of these a modulus is a
# power of 65537. Where those are all residues there is nothing to be seen. (CVE-2017-15361; Nemec et al., CCS 2017.)
_ROCA = [(prime, powers) for prime in _SMALL if prime <= 167 and len(powers := _powers(prime)) < prime - 1]


def weakness_of(key: rsa.RSAPublicNumbers) -> str:
    """Say why the key is weak; empty if nothing is known against it."""
    if key.e < 65537 or key.e % 2 == 0:
        return "its public exponent is not an odd number from 65,537 on"
    if key.n % 2 == 0 or math.gcd(key.n, _SMALL_PRODUCT) != 1:
        return "its modulus has a small factor"
    if all(key.n % prime in powers for prime, powers in _ROCA):
        return "it was made by a library with a known fault (ROCA, CVE-2017-15361)"
    if _primes_are_close(key.n):
        return "its two primes are too close to each other"
    return ""


def _primes_are_close(modulus: int) -> bool:
    """Try Fermat's factorisation for as long as the baseline requirements ask."""
    middle = math.isqrt(modulus) + 1
    for a in range(middle, middle + _FERMAT_ROUNDS):
        square = a * a - modulus
        if math.isqrt(square) ** 2 == square:
            return True
    return False
