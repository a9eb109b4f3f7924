import Conformance
import SansIO

enum NoiseMutants {
    static let mutants: [Mutant] = [
        Mutant("NOISE-1", .noise(1), "The AEAD's associated data is empty instead of h."),
        Mutant("NOISE-2", .noise(2), "XX message 2 handles es before s."),
        Mutant("NOISE-3", .noise(3), "The initiator sends with the second key of Split."),
        Mutant("NOISE-4", .noise(4), "Diffie-Hellman is X25519 of the converted keys."),
        Mutant("NOISE-5", .noise(5), "HMAC is keyed BLAKE2b."),
        Mutant("NOISE-6", .noise(6), "A wrong tag is not noticed."),
        Mutant("NOISE-7", .noise(7), "The prologue is not mixed in."),
        Mutant("NOISE-8", .noise(8), "A handshake goes on after a wrong tag or an impossible point."),
        Mutant("NOISE-9", .noise(9), "Points of small order are multiplied."),
        Mutant("NOISE-10", .noise(10), "Points outside the prime-order subgroup are multiplied."),
        Mutant("NOISE-11", .noise(11), "A missing payload tag counts as an empty payload."),
        Mutant("NOISE-13", .noise(13), "The ephemeral key is derived from the static key."),
        Mutant("NOISE-14", .noise(14), "A failed message leaves its traces in the state."),
        Mutant("NOISE-15", .noise(15), "The tag of message 2 is not looked at."),
        Mutant("NOISE-17", .noise(17), "A failed handshake message is ignored."),
        Mutant("NOISE-18", .noise(18), "A failed multiplication gives zeros, and the reply leaves."),
        Mutant("NOISE-19", .noise(19), "A received payload in clear is not hashed."),
        Mutant("NOISE-20", .noise(20), "A payload in message 2 is an error."),
        Mutant("NOISE-21", .noise(21), "An initiator ignores messages that are too short for its step."),
        Mutant("NOISE-22", .noise(22), "The nonce does not advance within one key."),
        Mutant("NOISE-23", .noise(23), "Messages after completion are swallowed."),
        Mutant("NOISE-24", .noise(24), "The hole-punch secret is keyed with half the hash."),
        Mutant("NOISE-25", .noise(25), "The protocol name is hashed."),
    ]
}
