import CompactEncoding
import Conformance
import LivePeers
import SansIO
import StrictJSON
import UDX

/// Rules of UDX that no golden exchange asks for apart from others.
enum UDXProbes {
    static let probes: [Probe] = [
        Probe("udx", "reopened-window", ["UDX-31"], needs: ["udx.bind", "udx.stream", "udx.connect", "write"]) { context in
            let tester = try context.tester()
            let socket = try context.peer.request("udx.bind")
            guard let address = socket["address"]?.endpoint else { throw ProbeError("udx.bind told no address") }
            context.afterwards { [context] in context.quietly("close", ["socket": socket["socket"] ?? .null]) }
            let stream = try context.peer.request("udx.stream", ["localId": 1]).handle("stream")
            context.afterwards { [context] in context.quietly("destroy", ["stream": stream]) }
            try context.peer.request(
                "udx.connect", JSONObject(["stream": stream, "socket": try socket.handle("socket"), "remoteId": 2]).at(tester.endpoint))
            func write(_ count: Int) throws { try context.peer.request("write", ["stream": stream, "generate": .integer(count)]) }
            func acknowledge(window: UInt32) throws {
                try tester.send(
                    PacketHeader(type: [], streamID: StreamID(1), window: window, seq: SequenceNumber(0), ack: SequenceNumber(1)).encoded,
                    to: address)
            }
            try write(10)
            context.exam.require("the first packet", !data(tester, 500, until: 1).isEmpty, "none")
            try acknowledge(window: 0)
            _ = data(tester, 100)
            try write(5000)
            // It may probe, by one packet of data too; with the window open again the rest follows at once.
            context.exam.require("packets into a closed window", Set(data(tester, 400)).count <= 1, "more than a probe")
            try acknowledge(window: 50_000)
            context.exam.require("packets with the window open again", !data(tester, 400, until: 1).isEmpty, "none in 400 ms")
        },
        Probe("udx", "do-not-fragment", ["UDX-41"], needs: []) { context in
            context.exam.notRun("a socket does not show the DF bit; live captures do")
        },
    ]

    /// Sequence numbers of the packets with data that arrive in a time.
    private static func data(_ tester: UDPTester, _ milliseconds: Int64, until count: Int = .max) -> [UInt32] {
        let deadline = Instant.now + .milliseconds(milliseconds)
        var result: [UInt32] = []
        while result.count < count, let (_, arrival) = UDPTester.next(of: [tester], until: deadline) {
            var reader = Reader(arrival.payload)
            guard let header = try? PacketHeader(from: &reader), header.type.contains(.data) else { continue }
            result.append(header.seq.rawValue)
        }
        return result
    }
}
