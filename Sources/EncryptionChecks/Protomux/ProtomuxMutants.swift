import Conformance
import SansIO

enum ProtomuxMutants {
    static let mutants: [Mutant] = [
        Mutant("MUX-1", .protomux(1), "An open carries the id before the protocol."),
        Mutant("MUX-2", .protomux(2), "Opened is reported twice."),
        Mutant("MUX-3", .protomux(3), "Channels pair by protocol alone."),
        Mutant("MUX-4", .protomux(4), "Data for a pending open is dropped."),
        Mutant("MUX-5", .protomux(5), "An unknown protocol is not answered."),
        Mutant("MUX-6", .protomux(6), "The id of a rejected channel is never used again."),
        Mutant("MUX-7", .protomux(7), "A close is answered with a close, and names the other side's id."),
        Mutant("MUX-8", .protomux(8), "The peer's id stays taken after its close."),
        Mutant("MUX-9", .protomux(9), "An unknown message type ends the connection."),
        Mutant("MUX-10", .protomux(10), "Opens may leave gaps and reuse ids."),
        Mutant("MUX-11", .protomux(11), "A reject of an unknown id is ignored."),
        Mutant("MUX-12", .protomux(12), "A message that ends after the channel is ignored."),
        Mutant("MUX-13", .protomux(13), "Channel switches in a batch have no effect."),
        Mutant("MUX-14", .protomux(14), "An overlong item of a batch is delivered cut."),
        Mutant("MUX-15a", .protomux(15, 1), "Cork has no effect."),
        Mutant("MUX-15b", .protomux(15, 2), "A batch of one item is ignored."),
        Mutant("MUX-16a", .protomux(16, 1), "A batch may grow beyond what the carrier takes."),
        Mutant("MUX-16b", .protomux(16, 2), "A batch of 8 MiB is added to."),
        Mutant("MUX-17", .protomux(17), "An open pairs with whatever was opened first."),
        Mutant("MUX-18", .protomux(18), "Equal keys pair last in, first out."),
        Mutant("MUX-19", .protomux(19), "A listener for a whole protocol is not asked."),
        Mutant("MUX-20", .protomux(20), "Pending data is buffered without bound."),
        Mutant("MUX-21a", .protomux(21, 1), "The id of a channel that closed early is used again at once."),
        Mutant("MUX-21b", .protomux(21, 2), "A close for a pending open is ignored."),
        Mutant("MUX-22", .protomux(22), "An open with id 0 is ignored."),
        Mutant("MUX-23", .protomux(23), "Integers in a longer form than necessary are refused."),
        Mutant("MUX-24", .protomux(24), "An empty id is another key than none."),
        Mutant("MUX-25", .protomux(25), "The peer's end is not answered."),
        Mutant("MUX-26", .protomux(26), "A close of a closed channel ends the connection."),
        Mutant("MUX-27", .protomux(27), "A handshake is not decoded."),
    ]
}
