import CompactEncoding
import SansIO
import StrictJSON

/// What a line of a key log says.
public enum KeyLogRecord: Sendable, Equatable {
    /// A party made its ephemeral key: so unfinished handshakes can be opened too.
    case noiseEphemeral(NoiseEphemeral)
    /// A finished handshake as one side saw it.
    case noise(NoiseHandshakeRecord)
    /// A handshake that failed on this side.
    case noiseError(NoiseErrorRecord)
    /// A secret stream that started.
    case secretStream(SecretStreamRecord)
    /// The keys of hole-punch payloads.
    case holepunch(HolepunchRecord)
    /// The two token secrets of a node, logged when first used after a change.
    case tokenSecrets(TokenSecretsRecord)

    public var type: String {
        switch self {
        case .noiseEphemeral: "noise-ephemeral"
        case .noise: "noise"
        case .noiseError: "noise-error"
        case .secretStream: "secret-stream"
        case .holepunch: "holepunch"
        case .tokenSecrets: "token-secrets"
        }
    }

    init(type: String, _ line: inout StrictLine) throws(KeyLogError) {
        switch type {
        case "noise-ephemeral": self = .noiseEphemeral(try NoiseEphemeral(&line))
        case "noise": self = .noise(try NoiseHandshakeRecord(&line))
        case "noise-error": self = .noiseError(try NoiseErrorRecord(&line))
        case "secret-stream": self = .secretStream(try SecretStreamRecord(&line))
        case "holepunch": self = .holepunch(try HolepunchRecord(&line))
        case "token-secrets": self = .tokenSecrets(try TokenSecretsRecord(&line))
        default: throw line.failure("unknown line type \"\(type)\"", at: "type")
        }
    }

    func write(to object: inout JSONObject) {
        switch self {
        case .noiseEphemeral(let record): record.write(to: &object)
        case .noise(let record): record.write(to: &object)
        case .noiseError(let record): record.write(to: &object)
        case .secretStream(let record): record.write(to: &object)
        case .holepunch(let record): record.write(to: &object)
        case .tokenSecrets(let record): record.write(to: &object)
        }
    }
}

func hex(_ bytes: [UInt8]?) -> JSON { bytes.map { .string(Hex.encode($0)) } ?? .null }
func hex(_ bytes: Bytes32?) -> JSON { bytes.map { .string($0.description) } ?? .null }

/// A hole-punch session: the key of its payloads, and the secret of the tokens that this side gives.
public struct HolepunchRecord: Sendable, Equatable {
    public var sharedSecret: Bytes32
    public var localSecret: Bytes32

    public init(sharedSecret: Bytes32, localSecret: Bytes32) {
        self.sharedSecret = sharedSecret
        self.localSecret = localSecret
    }

    init(_ line: inout StrictLine) throws(KeyLogError) {
        sharedSecret = try line.bytes32("sharedSecret")
        localSecret = try line.bytes32("localSecret")
    }

    func write(to object: inout JSONObject) {
        object.set("sharedSecret", hex(sharedSecret))
        object.set("localSecret", hex(localSecret))
    }
}

/// The token secrets of the node at `host` and `port`: tokens made with either are accepted, new ones are made with the second.
public struct TokenSecretsRecord: Sendable, Equatable {
    public var host: String
    public var port: UInt16
    /// Always two: s0, then s1.
    public var secrets: [Bytes32]

    public init(host: String, port: UInt16, secrets: [Bytes32]) {
        self.host = host
        self.port = port
        self.secrets = secrets
    }

    init(_ line: inout StrictLine) throws(KeyLogError) {
        host = try line.string("host")
        port = try line.port("port")
        guard let values = try line.value("secrets").array, values.count == 2 else {
            throw line.failure("\"secrets\" must be two values", at: "secrets")
        }
        secrets = []
        for value in values {
            guard let secret = Bytes32(try line.hex(value, "secrets", 32)) else { throw line.failure("a secret must be 32 bytes") }
            secrets.append(secret)
        }
    }

    func write(to object: inout JSONObject) {
        object.set("host", .string(host))
        object.set("port", .integer(port))
        object.set("secrets", .array(secrets.map { hex($0) }))
    }
}

/// A secret stream as one side started it.
public struct SecretStreamRecord: Sendable, Equatable {
    public struct StreamIDs: Sendable, Equatable {
        public var localID: UInt32
        public var remoteID: UInt32

        public init(localID: UInt32, remoteID: UInt32) {
            self.localID = localID
            self.remoteID = remoteID
        }
    }

    public var isInitiator: Bool
    public var publicKey: Bytes32
    public var remotePublicKey: Bytes32?
    /// 64 bytes.
    public var handshakeHash: [UInt8]
    public var txKey: Bytes32
    public var rxKey: Bytes32
    /// The UDX stream underneath, if it is one.
    public var udx: StreamIDs?

    public init(
        isInitiator: Bool, publicKey: Bytes32, remotePublicKey: Bytes32?, handshakeHash: [UInt8], txKey: Bytes32, rxKey: Bytes32,
        udx: StreamIDs?
    ) {
        self.isInitiator = isInitiator
        self.publicKey = publicKey
        self.remotePublicKey = remotePublicKey
        self.handshakeHash = handshakeHash
        self.txKey = txKey
        self.rxKey = rxKey
        self.udx = udx
    }

    init(_ line: inout StrictLine) throws(KeyLogError) {
        isInitiator = try line.bool("initiator")
        publicKey = try line.bytes32("publicKey")
        remotePublicKey = try line.optionalBytes32("remotePublicKey")
        handshakeHash = try line.bytes("handshakeHash", count: 64)
        txKey = try line.bytes32("txKey")
        rxKey = try line.bytes32("rxKey")
        let udx = try line.value("udx")
        if !udx.isNull {
            var inner = try StrictLine(udx, file: line.file, line: line.line)
            guard let local = UInt32(exactly: try inner.integer("localId")), let remote = UInt32(exactly: try inner.integer("remoteId"))
            else {
                throw inner.failure("stream ids must be 32-bit")
            }
            try inner.finish()
            self.udx = StreamIDs(localID: local, remoteID: remote)
        }
    }

    func write(to object: inout JSONObject) {
        object.set("initiator", .bool(isInitiator))
        object.set("publicKey", hex(publicKey))
        object.set("remotePublicKey", hex(remotePublicKey))
        object.set("handshakeHash", hex(handshakeHash))
        object.set("txKey", hex(txKey))
        object.set("rxKey", hex(rxKey))
        object.set("udx", udx.map { ["localId": .integer($0.localID), "remoteId": .integer($0.remoteID)] } ?? .null)
    }
}
