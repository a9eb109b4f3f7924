import Conformance
import SansIO

enum BlindRelayMutants {
    static let mutants: [Mutant] = [
        Mutant("RELAY-1", .blindRelay(1), "The channel is opened without an id."),
        Mutant("RELAY-2", .blindRelay(2), "The stream id has a fixed width."),
        Mutant("RELAY-3", .blindRelay(3), "The answers carry the other side's role."),
        Mutant("RELAY-4", .blindRelay(4), "A second pair in one role replaces the first."),
        Mutant("RELAY-5", .blindRelay(5), "Unpair does not withdraw a pending token."),
        Mutant("RELAY-6", .blindRelay(6), "The relay sends to the other side's stream id."),
        Mutant("RELAY-7", .blindRelay(7), "Unpair destroys one stream of two."),
        Mutant("RELAY-8", .blindRelay(8), "Pending tokens survive their session."),
        Mutant("RELAY-9", .blindRelay(9), "The client does not look at the role of an answer."),
        Mutant("RELAY-10", .blindRelay(10), "A pairing is waited for without end."),
        Mutant("RELAY-11", .blindRelay(11), "The client's relay wins."),
        Mutant("RELAY-12", .blindRelay(12), "The server pairs as initiator on the client's relay."),
        Mutant("RELAY-15", .blindRelay(15), "The connection to a relay has no keepalive."),
        Mutant("RELAY-16", .blindRelay(16), "Pending tokens are not limited."),
        Mutant("RELAY-17", .blindRelay(17), "Only the flags byte 1 means initiator."),
    ]
}
