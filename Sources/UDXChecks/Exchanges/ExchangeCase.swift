import Conformance
import SansIO
import StrictJSON

/// One golden exchange as data; reading is strict, an unknown key fails the case.
package struct ExchangeCase {
    package struct Setup {
        package var localID: UInt32
        package var remoteID: UInt32
        package var isConnected: Bool
        package var localSeq: UInt32
        package var remoteSeq: UInt32
        package var firewall: String?
        /// A second stream on the second socket, connected to `place`; it and the first relay to each other.
        package var partner: (localID: UInt32, remoteID: UInt32, place: Place)?
    }

    package enum Place: String {
        case a, b
        package var endpoint: Endpoint { .loopback(self == .a ? 40_001 : 40_002) }
    }

    package enum Sock: String {
        case first, second
        package var id: SocketID { SocketID(self == .first ? 1 : 2) }
    }

    package struct Call {
        package var name: String
        package var bytes: Int = 0
        package var pattern: String?
        package var milliseconds: Int64 = 0
        package var remoteID: UInt32 = 0
        package var place = Place.a
        package var error: String?

        /// What the pattern stands for.
        package var payload: [UInt8] {
            (0..<bytes).map { pattern == "descending" ? UInt8(255 - $0 % 251) : UInt8(0x41 + $0 % 26) }
        }
    }

    package struct Expected {
        package let node: VectorNode
        package let packet: VectorNode
        package let bytes: [UInt8]
        package let after: VectorNode
        package let earliest: Int64
        package let latest: Int64
        package let volatile: [String]
        package let place: Place
        package let socket: Sock
    }

    package enum Step {
        case application([Call])
        case send([[UInt8]], times: Int, together: Bool, from: Place, to: Sock)
        case receive([Expected], milliseconds: Int64)
        case wait(milliseconds: Int64)
        case event(VectorNode, kind: String, stream: String?)
    }

    package let setup: Setup
    package let steps: [(node: VectorNode, step: Step)]
    package let requirements: [String]
    package let deviates: [String]
    package let concerns: [String]
    package let mayDiffer: String?

    package init(_ node: VectorNode) throws {
        try node.allow(["id", "about", "setup", "steps", "requirements", "deviates", "concerns", "mayDiffer", "source"])
        for key in ["about", "source"] { try node.optional(key)?.note() }
        requirements = try node["requirements"].elements().map { try $0.string() }
        deviates = try node.optional("deviates")?.elements().map { try $0.string() } ?? []
        concerns = try node.optional("concerns")?.elements().map { try $0.string() } ?? []
        mayDiffer = try node.optional("mayDiffer")?.string()
        setup = try ExchangeCase.setup(node["setup"])
        steps = try node["steps"].elements().map { ($0, try ExchangeCase.step($0)) }
    }

    private static func setup(_ node: VectorNode) throws -> Setup {
        try node.allow(["localId", "remoteId", "connected", "localSeq", "remoteSeq", "firewall", "partner"])
        var result = Setup(
            localID: try node["localId"].uint32(), remoteID: try node["remoteId"].uint32(), isConnected: try node["connected"].bool(),
            localSeq: try node["localSeq"].uint32(), remoteSeq: try node["remoteSeq"].uint32(),
            firewall: try node.optional("firewall")?.string())
        if let partner = node.optional("partner") {
            try partner.allow(["localId", "remoteId", "place"])
            result.partner = (try partner["localId"].uint32(), try partner["remoteId"].uint32(), try partner["place"].choice())
        }
        return result
    }

    private static func step(_ node: VectorNode) throws -> Step {
        let kinds = ["application", "send", "sendTogether", "receive", "wait", "waitMilliseconds", "event"].filter { node.json[$0] != nil }
        guard kinds.count == 1 else { throw node.mismatch("one kind of step", "\(kinds)") }
        let inner = try node[kinds[0]]
        switch kinds[0] {
        case "application":
            try node.allow(["application"])
            return .application(try calls(inner))
        case "send", "sendTogether":
            try node.allow([kinds[0], "times", "from", "to"])
            let together = kinds[0] == "sendTogether"
            return .send(
                together ? try inner.elements().map { try $0.bytes() } : [try inner.bytes()],
                times: Int(clamping: try node.optional("times")?.uint() ?? 1), together: together,
                from: try node.optional("from")?.choice() ?? .a, to: try node.optional("to")?.choice() ?? .first)
        case "receive":
            try node.allow(["receive", "forMilliseconds"])
            return .receive(try inner.elements().map(expected), milliseconds: try node["forMilliseconds"].int())
        case "wait", "waitMilliseconds":
            try node.allow([kinds[0]])
            return .wait(milliseconds: try inner.int())
        default:
            try node.allow(["event"])
            let stream = try inner.optional("stream")?.string()
            let keys = inner.json.object?.members.map(\.key).filter { $0 != "stream" } ?? []
            guard keys.count == 1, ["read", "message", "end", "closed", "datagram", "firewall", "remoteChanged"].contains(keys[0]) else {
                throw inner.mismatch("one known event", "\(keys)")
            }
            guard stream == nil || stream == "partner" else { throw inner.mismatch("stream partner", stream ?? "") }
            return .event(try inner[keys[0]], kind: keys[0], stream: stream)
        }
    }

    private static func calls(_ node: VectorNode) throws -> [Call] {
        try node.allow(["do", "bytes", "pattern", "milliseconds", "remoteId", "place", "error", "calls"])
        let name = try node["do"].string()
        if name == "turn" { return try node["calls"].elements().flatMap(calls) }
        let known = [
            "write", "writeAndEnd", "end", "message", "destroy", "connect", "changeRemote", "keepalive", "heldBytes", "maximumReceiveSize",
        ]
        guard known.contains(name) else { throw node.mismatch("a known call", name) }
        var call = Call(name: name)
        call.bytes = Int(clamping: try node.optional("bytes")?.uint() ?? 0)
        call.pattern = try node.optional("pattern")?.string()
        guard call.pattern == nil || call.pattern == "alphabet" || call.pattern == "descending" else {
            throw node.mismatch("pattern alphabet or descending", call.pattern ?? "")
        }
        call.milliseconds = try node.optional("milliseconds")?.int() ?? 0
        call.remoteID = try node.optional("remoteId")?.uint32() ?? 0
        call.place = try node.optional("place")?.choice() ?? .a
        call.error = try node.optional("error")?.string()
        return [call]
    }

    private static func expected(_ node: VectorNode) throws -> Expected {
        try node.allow(["packet", "afterMilliseconds", "volatile", "why", "at", "from"])
        try node.optional("why")?.note()
        let range = try node["afterMilliseconds"].elements()
        guard range.count == 2 else { throw node.mismatch("[minimum, maximum]", "\(range.count) numbers") }
        let packet = try node["packet"]
        return Expected(
            node: node, packet: packet, bytes: try packet.bytes(), after: try node["afterMilliseconds"], earliest: try range[0].int(),
            latest: try range[1].int(), volatile: try node.optional("volatile")?.elements().map { try $0.string() } ?? [],
            place: try node.optional("at")?.choice() ?? .a, socket: try node.optional("from")?.choice() ?? .first)
    }
}

extension VectorNode {
    func mismatch(_ expected: String, _ actual: String) -> Mismatch { Mismatch(path: path, expected: expected, actual: actual) }

    /// Fails on a member that is none of these.
    func allow(_ keys: Set<String>) throws {
        guard let object = json.object else { throw mismatch("an object", json.text()) }
        if let unknown = object.firstUnknown(keys) { throw mismatch("one of \(keys.sorted())", "unknown key \"\(unknown.key)\"") }
    }

    func uint32() throws -> UInt32 {
        guard let value = UInt32(exactly: try uint()) else { throw mismatch("32 bits", json.text()) }
        return value
    }

    func choice<T: RawRepresentable>() throws -> T where T.RawValue == String {
        guard let value = T(rawValue: try string()) else { throw mismatch("a known \(T.self)", json.text()) }
        return value
    }
}
