import CompactEncoding
import Conformance
import DHTRPC
import SansIO
import StrictJSON

/// A scripted socket that talks to the node under test.
struct ExchangeTester {
    /// Which requests of the node are meant.
    struct Match {
        let isInternal: Bool
        let command: UInt64
        let fromPort: UInt16?
        let target: Bytes32?

        init(_ json: JSON) throws {
            let object = try ExchangeObject(json, required: ["internal", "command"], optional: ["fromPort", "target"])
            isInternal = try object.bool("internal", default: false)
            command = UInt64(clamping: try object.integer("command"))
            fromPort = try object["fromPort"].map { _ in try object.port("fromPort") }
            target = try object["target"].map(Exchange.bytes32)
        }

        func matches(_ request: Request, fromPort port: UInt16) -> Bool {
            request.isInternal == isInternal && request.command == command && (fromPort ?? port) == port
                && (target == nil || target == request.target)
        }
    }

    struct Answer {
        let match: Match
        let reply: [UInt8]
        let keepTo: Bool
        let toPort: UInt16?
        let from: String?
        let delayMilliseconds: Int64
        /// Uses left; nil: no limit.
        var times: Int64?

        init(_ json: JSON) throws {
            let object = try ExchangeObject(
                json, required: ["match", "reply"], optional: ["fields", "keepTo", "toPort", "from", "delayMilliseconds", "times"])
            match = try Match(object["match"] ?? json)
            reply = try object.bytes("reply")
            guard reply.count >= 10 else { throw ExchangeFormatError("a reply has at least ten bytes", json) }
            keepTo = try object.bool("keepTo", default: false)
            toPort = try object["toPort"].map { _ in try object.port("toPort") }
            from = try object["from"].map { _ in try object.string("from") }
            delayMilliseconds = try object.integer("delayMilliseconds", default: 0)
            times = try object["times"].map { _ in try object.integer("times") }
            if let fields = object["fields"] { try ExchangeFields.check(fields, reply, isTemplate: true) }
        }
    }

    /// Something that arrived.
    struct Arrival {
        let at: Instant
        let source: Endpoint
        let payload: [UInt8]
    }

    let name: String
    let endpoint: Endpoint
    var answers: [Answer]
    let ignored: [Match]

    // While a case runs.
    var inbox: [Arrival] = []
    var streamPackets: [Arrival] = []
    /// tids of everything that ever arrived.
    var transactions: Set<UInt16> = []

    init(_ json: JSON) throws {
        let object = try ExchangeObject(json, required: ["name", "host", "port"], optional: ["answers", "ignore"])
        name = try object.string("name")
        endpoint = Endpoint(try object.host("host"), try object.port("port"))
        answers = try object.list("answers").map { try Answer($0) }
        ignored = try object.list("ignore").map { try Match($0) }
    }
}
