import CompactEncoding
import KeyLog
import SansIO
import StrictJSON

/// `manifest.json` of a bundle, `hyperswarm-trace/1`: who made the recording, with which peers.
public struct Manifest: Sendable {
    public static let schema = "hyperswarm-trace/1"

    public struct Peer: Sendable {
        public let name: String
        public let host: IPAddress?
        /// Key pair's seed; absent for plain DHT nodes.
        public let seed: Bytes32?
        public let publicKey: Bytes32?
        public let nodeID: Bytes32?
        public let serverPort: UInt16?
        public let clientPort: UInt16?
        public let isFirewalled: Bool?
        public let isEphemeral: Bool?
        /// Plain UDX peers: their port and stream id.
        public let port: UInt16?
        public let streamID: UInt32?
    }

    public let scenario: String
    /// "node", "libudx", "KadePy ...", "swift".
    public let implementation: String
    /// The recorder's own verdict on the run.
    public let isOK: Bool
    public let started: String?
    /// Package versions, in file order.
    public let versions: [(name: String, version: String)]
    /// In file order.
    public let peers: [Peer]
    public let topology: JSON?
    public let text: JSON

    /// Recordings of anything else than Hyperswarm say so.
    public var isKadePy: Bool { implementation.lowercased().contains("kadepy") }

    public init(parsing bytes: [UInt8], file: String) throws(KeyLogError) {
        let json: JSON
        do { json = try JSON.parse(bytes) } catch { throw KeyLogError(error.message, file: file, line: 0, offset: error.offset) }
        var line = try StrictLine(json, file: file, line: 0)
        let schema = try line.string("schema")
        guard schema == Manifest.schema else {
            throw line.failure("schema \"\(Manifest.schema)\" is expected, not \"\(schema)\"", at: "schema")
        }
        scenario = try line.string("scenario")
        implementation = try line.string("implementation")
        isOK = try line.bool("ok")
        started = line.optional("started")?.string
        topology = line.optional("topology")
        for key in ["node", "swift", "platform", "description", "expected", "captureNote"] { _ = line.optional(key) }
        var versions: [(name: String, version: String)] = []
        for member in line.optional("versions")?.object?.members ?? [] {
            guard let version = member.value.string else {
                throw KeyLogError("a version must be a string", file: file, line: 0, offset: member.value.offset)
            }
            versions.append((member.key, version))
        }
        self.versions = versions
        var peers: [Peer] = []
        for member in line.optional("peers")?.object?.members ?? [] { peers.append(try Manifest.peer(member, file: file)) }
        self.peers = peers
        try line.finish()
        text = json
    }

    private static func peer(_ member: JSONObject.Member, file: String) throws(KeyLogError) -> Peer {
        var line = try StrictLine(member.value, file: file, line: 0)
        func port(_ key: String) throws(KeyLogError) -> UInt16? {
            guard let value = line.optional(key), !value.isNull else { return nil }
            guard let number = value.integer, let port = UInt16(exactly: number) else {
                throw line.failure("\"\(key)\" must be a port", at: key)
            }
            return port
        }
        func flag(_ key: String) throws(KeyLogError) -> Bool? {
            guard let value = line.optional(key), !value.isNull else { return nil }
            guard let flag = value.bool else { throw line.failure("\"\(key)\" must be true or false", at: key) }
            return flag
        }
        var host: IPAddress?
        if let text = line.optional("host"), !text.isNull {
            guard let parsed = text.string.flatMap({ IPAddress($0) }) else {
                throw line.failure("\"host\" must be an IP address", at: "host")
            }
            host = parsed
        }
        var streamID: UInt32?
        if let value = line.optional("streamId"), !value.isNull {
            guard let number = value.integer.flatMap({ UInt32(exactly: $0) }) else {
                throw line.failure("a stream id is 32-bit", at: "streamId")
            }
            streamID = number
        }
        let peer = Peer(
            name: member.key, host: host, seed: try line.optionalBytes32("seed"), publicKey: try line.optionalBytes32("publicKey"),
            nodeID: try line.optionalBytes32("nodeId"), serverPort: try port("serverPort"), clientPort: try port("clientPort"),
            isFirewalled: try flag("firewalled"), isEphemeral: try flag("ephemeral"), port: try port("port"), streamID: streamID)
        try line.finish()
        return peer
    }
}
