import CompactEncoding
import Conformance
import DHTRPC
import SansIO
import StrictJSON

/// Something in an exchange file that the runner does not understand: the file or the runner is to be mended, the node is not judged.
struct ExchangeFormatError: Error, CustomStringConvertible {
    let description: String

    init(_ message: String, _ json: JSON) { description = "offset \(json.offset): \(message)" }
}

/// Strict reading of the format's objects.
struct ExchangeObject {
    let json: JSON
    private let object: JSONObject

    init(_ json: JSON, required: [String] = [], optional: [String] = []) throws {
        guard let object = json.object else { throw ExchangeFormatError("an object is expected", json) }
        self.json = json
        self.object = object
        if let unknown = object.firstUnknown(Set(required + optional)) { throw ExchangeFormatError("unknown key \"\(unknown.key)\"", json) }
        for key in required where object[key] == nil { throw ExchangeFormatError("\"\(key)\" is missing", json) }
    }

    subscript(_ key: String) -> JSON? { object[key] }

    func string(_ key: String) throws -> String {
        guard let value = object[key]?.string else { throw ExchangeFormatError("\"\(key)\" must be a string", object[key] ?? json) }
        return value
    }

    func integer(_ key: String) throws -> Int64 {
        guard let value = object[key]?.integer else { throw ExchangeFormatError("\"\(key)\" must be an integer", object[key] ?? json) }
        return value
    }

    func integer(_ key: String, default fallback: Int64) throws -> Int64 { object[key] == nil ? fallback : try integer(key) }

    func bool(_ key: String, default fallback: Bool) throws -> Bool {
        guard let value = object[key] else { return fallback }
        guard let flag = value.bool else { throw ExchangeFormatError("\"\(key)\" must be true or false", value) }
        return flag
    }

    func array(_ key: String) throws -> [JSON] {
        guard let value = object[key]?.array else { throw ExchangeFormatError("\"\(key)\" must be an array", object[key] ?? json) }
        return value
    }

    func list(_ key: String) throws -> [JSON] { object[key] == nil ? [] : try array(key) }

    func bytes(_ key: String) throws -> [UInt8] { try Exchange.bytes(object[key] ?? json) }

    func port(_ key: String) throws -> UInt16 {
        guard let port = UInt16(exactly: try integer(key)) else { throw ExchangeFormatError("\"\(key)\" must be a port", json) }
        return port
    }

    func host(_ key: String) throws -> IPAddress {
        guard let host = IPAddress(try string(key)) else { throw ExchangeFormatError("\"\(key)\" must be an IP address", json) }
        return host
    }
}

enum Exchange {
    static let schema = "hyperswarm-exchanges/1"
    static let file = "dht-exchanges"

    static func bytes(_ json: JSON) throws -> [UInt8] {
        guard let text = json.string, let bytes = Hex.decode(text), Hex.encode(bytes) == text else {
            throw ExchangeFormatError("bytes in lower-case hexadecimal are expected", json)
        }
        return bytes
    }

    static func bytes32(_ json: JSON) throws -> Bytes32 {
        guard let value = Bytes32(try bytes(json)) else { throw ExchangeFormatError("32 bytes are expected", json) }
        return value
    }

    static func endpoint(_ json: JSON) throws -> Endpoint {
        let object = try ExchangeObject(json, required: ["host", "port"])
        return Endpoint(try object.host("host"), try object.port("port"))
    }

    static func json(_ endpoint: Endpoint) -> JSON {
        ["host": .string(endpoint.address.description), "port": .integer(endpoint.port)]
    }

    /// The 16-bit tid of a dht-rpc datagram, or nil.
    static func tid(_ datagram: [UInt8]) -> UInt16? {
        guard MessageType(of: datagram) != nil, datagram.count >= 4 else { return nil }
        return UInt16(datagram[2]) | UInt16(datagram[3]) << 8
    }

    static func setTID(_ datagram: inout [UInt8], _ tid: UInt16) {
        guard datagram.count >= 4 else { return }
        datagram[2] = UInt8(truncatingIfNeeded: tid)
        datagram[3] = UInt8(truncatingIfNeeded: tid >> 8)
    }

    static func isStreamPacket(_ datagram: [UInt8]) -> Bool { datagram.count >= 20 && datagram[0] == 0xff && datagram[1] == 1 }
}

/// How the node under test is started.
struct ExchangeNodeSetup {
    var address: Endpoint
    var clientPort: UInt16
    var puncherPorts: [UInt16]
    var isPersistent: Bool
    var nodeID: Bytes32?
    var keyPairSeed: [UInt8]
    var isFirewalled: Bool?
    var isEphemeral: Bool?
    var bootstrap: [BootstrapEntry]
    var quickFirewall: Bool
    /// False: an adaptive node never becomes persistent.
    var isAdaptive: Bool
    var concurrency: Int?
    var sendsDownHints: Bool
    /// -1: no limit.
    var downHintsPerTick: Int64?
    var maximumAge: Int64?
    var tokenSecrets: [Bytes32]
    var tokenRotation: Bool
    var tableNodes: [Endpoint]
    var awaitReady: Bool
    var refreshTicks: Int32?
    /// Name and version.
    var plugins: [JSON]
    /// Injected draws by purpose, as they stand in the file.
    var entropy: [String: JSON]
    /// Ports of the node's host that testers hold.
    var takenPorts: Set<UInt16>

    /// Injected hexadecimal draws for one purpose, in order.
    func draws(_ purpose: String) throws -> [[UInt8]] { try (entropy[purpose]?.array ?? []).map(Exchange.bytes) }

    /// Injected integer draws for one purpose, in order.
    func integers(_ purpose: String) throws -> [Int64] {
        try (entropy[purpose]?.array ?? []).map {
            guard let value = $0.integer else { throw ExchangeFormatError("an integer is expected", $0) }
            return value
        }
    }

    static let purposes: Set<String> = [
        "tableId", "firstTid", "tick", "streamIds", "noiseEphemeralSeeds", "holepunchLocalSecrets", "holepunchNonces", "relayTokens",
        "recordChoice", "refreshTarget",
    ]

    init(_ json: JSON, entropy: JSON, testers: [ExchangeTester]) throws {
        let node = try ExchangeObject(
            json, required: ["host", "port", "persistent", "clientPort", "tokenSecrets", "tokenRotation", "tableNodes", "keyPairSeed"],
            optional: [
                "nodeId", "firewalled", "options", "ephemeral", "bootstrap", "puncherPorts", "awaitReady", "refreshTicks", "plugins",
            ])
        let draws = try ExchangeObject(entropy, optional: Array(ExchangeNodeSetup.purposes))
        address = Endpoint(try node.host("host"), try node.port("port"))
        clientPort = try node.port("clientPort")
        puncherPorts = try node.list("puncherPorts").map {
            guard let port = $0.integer.flatMap({ UInt16(exactly: $0) }) else { throw ExchangeFormatError("a port is expected", $0) }
            return port
        }
        isPersistent = try node.bool("persistent", default: false)
        nodeID = try node["nodeId"].map(Exchange.bytes32)
        keyPairSeed = try node.bytes("keyPairSeed")
        isFirewalled = try node["firewalled"].map { _ in try node.bool("firewalled", default: true) }
        isEphemeral = try node["ephemeral"].map { _ in try node.bool("ephemeral", default: true) }
        tokenSecrets = try node.array("tokenSecrets").map(Exchange.bytes32)
        tokenRotation = try node.bool("tokenRotation", default: true)
        tableNodes = try node.array("tableNodes").map(Exchange.endpoint)
        awaitReady = try node.bool("awaitReady", default: true)
        refreshTicks = try node["refreshTicks"].map { _ in Int32(clamping: try node.integer("refreshTicks")) }
        plugins = try node.list("plugins")
        let options = try node["options"].map {
            try ExchangeObject(
                $0,
                optional: [
                    "bootstrap", "quickFirewall", "maxAge", "adaptive", "concurrency", "sendDownHints", "downHintsRateLimit",
                ])
        }
        isAdaptive = try options?.bool("adaptive", default: true) ?? true
        concurrency = try options?["concurrency"].map { _ in Int(clamping: try options?.integer("concurrency") ?? 10) }
        sendsDownHints = try options?.bool("sendDownHints", default: true) ?? true
        downHintsPerTick = try options?["downHintsRateLimit"].map { _ in try options?.integer("downHintsRateLimit") ?? -1 }
        quickFirewall = try options?.bool("quickFirewall", default: true) ?? true
        maximumAge = try options?["maxAge"].map { _ in try options?.integer("maxAge") ?? 0 }
        bootstrap = try (node.list("bootstrap") + (options?.list("bootstrap") ?? [])).map { entry in
            if let text = entry.string {
                guard let parsed = BootstrapEntry(text) else { throw ExchangeFormatError("not a bootstrap entry", entry) }
                return parsed
            }
            return BootstrapEntry(try Exchange.endpoint(entry))
        }
        self.entropy = [:]
        for purpose in ExchangeNodeSetup.purposes { self.entropy[purpose] = draws[purpose] }
        let host = address.address
        takenPorts = Set(testers.filter { $0.endpoint.address == host }.map(\.endpoint.port))
    }
}

/// One golden exchange.
struct ExchangeCase {
    let id: String
    let requirements: [String]
    let isInformative: Bool
    let comment: String
    let node: ExchangeNodeSetup
    let testers: [ExchangeTester]
    let isLeftoverAllowed: Bool
    let steps: [JSON]

    init(_ json: JSON) throws {
        let object = try ExchangeObject(json, required: ["id", "requirements", "comment", "setup", "steps"], optional: ["informative"])
        id = try object.string("id")
        requirements = try object.array("requirements").map {
            guard let id = $0.string else { throw ExchangeFormatError("a requirement's id is expected", $0) }
            return id
        }
        comment = try object.string("comment")
        isInformative = object["informative"] != nil && object["informative"]?.bool != false
        guard let setupJSON = object["setup"] else { throw ExchangeFormatError("no setup", json) }
        let setup = try ExchangeObject(setupJSON, required: ["node", "testers", "entropy"], optional: ["leftoverAllowed", "sniff"])
        testers = try setup.array("testers").map { try ExchangeTester($0) }
        guard let nodeJSON = setup["node"], let entropy = setup["entropy"] else { throw ExchangeFormatError("no node", setupJSON) }
        node = try ExchangeNodeSetup(nodeJSON, entropy: entropy, testers: testers)
        isLeftoverAllowed = try setup.bool("leftoverAllowed", default: false)
        steps = try object.array("steps")
        guard !steps.isEmpty else { throw ExchangeFormatError("no steps", json) }
    }

    /// Whether any step needs what only HyperDHT has: its commands, its calls, its events.
    var needsHyperDHT: Bool {
        if !node.plugins.isEmpty { return true }
        return steps.contains { step in
            if let call = step["application"]?["call"]?.string { return !DHTRPCExchangeNode.calls.contains(call) }
            if step["stream"] != nil || step["wire"] != nil { return true }
            guard let text = step["send"]?.string, let bytes = Hex.decode(text) else { return false }
            if Exchange.isStreamPacket(bytes) { return true }
            guard let request = try? Request(decoding: bytes), !request.isInternal else { return false }
            return !DHTRPCExchangeNode.commands.contains(request.command)
        }
    }
}
