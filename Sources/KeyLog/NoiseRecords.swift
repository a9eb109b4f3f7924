import CompactEncoding
import SansIO
import StrictJSON

/// The keys with which a party entered a handshake. Secret keys have libsodium's 64-byte Ed25519 form.
public struct NoiseEphemeral: Sendable, Equatable {
    public var pattern: String
    public var isInitiator: Bool
    public var staticKey: Bytes32?
    /// Absent once static secrets were taken out.
    public var staticSecretKey: [UInt8]?
    public var ephemeralKey: Bytes32
    public var ephemeralSecretKey: [UInt8]
    public var remoteStaticKey: Bytes32?

    public init(
        pattern: String, isInitiator: Bool, staticKey: Bytes32?, staticSecretKey: [UInt8]?, ephemeralKey: Bytes32,
        ephemeralSecretKey: [UInt8], remoteStaticKey: Bytes32?
    ) {
        self.pattern = pattern
        self.isInitiator = isInitiator
        self.staticKey = staticKey
        self.staticSecretKey = staticSecretKey
        self.ephemeralKey = ephemeralKey
        self.ephemeralSecretKey = ephemeralSecretKey
        self.remoteStaticKey = remoteStaticKey
    }

    init(_ line: inout StrictLine) throws(KeyLogError) {
        pattern = try line.string("pattern")
        isInitiator = try line.bool("initiator")
        staticKey = try line.optionalBytes32("s")
        staticSecretKey = try line.optionalBytes("sSecret", count: 64)
        ephemeralKey = try line.bytes32("e")
        ephemeralSecretKey = try line.bytes("eSecret", count: 64)
        remoteStaticKey = try line.optionalBytes32("rs")
    }

    func write(to object: inout JSONObject) {
        object.set("pattern", .string(pattern))
        object.set("initiator", .bool(isInitiator))
        object.set("s", hex(staticKey))
        object.set("sSecret", hex(staticSecretKey))
        object.set("e", hex(ephemeralKey))
        object.set("eSecret", hex(ephemeralSecretKey))
        object.set("rs", hex(remoteStaticKey))
    }
}

/// A finished handshake as one side saw it.
public struct NoiseHandshakeRecord: Sendable, Equatable {
    public struct Message: Sendable, Equatable {
        /// True if this side sent it.
        public var isSent: Bool
        public var message: [UInt8]
        public var payload: [UInt8]

        public init(isSent: Bool, message: [UInt8], payload: [UInt8]) {
            self.isSent = isSent
            self.message = message
            self.payload = payload
        }
    }

    public var pattern: String
    /// The Noise protocol's full name.
    public var protocolName: String
    public var isInitiator: Bool
    public var prologue: [UInt8]
    public var staticKey: Bytes32?
    /// Absent once static secrets were taken out.
    public var staticSecretKey: [UInt8]?
    public var ephemeralKey: Bytes32
    public var ephemeralSecretKey: [UInt8]
    public var remoteStaticKey: Bytes32?
    public var remoteEphemeralKey: Bytes32?
    public var messages: [Message]
    /// 64 bytes.
    public var hash: [UInt8]
    public var tx: Bytes32
    public var rx: Bytes32

    public init(
        pattern: String, protocolName: String, isInitiator: Bool, prologue: [UInt8], staticKey: Bytes32?, staticSecretKey: [UInt8]?,
        ephemeralKey: Bytes32, ephemeralSecretKey: [UInt8], remoteStaticKey: Bytes32?, remoteEphemeralKey: Bytes32?,
        messages: [Message], hash: [UInt8], tx: Bytes32, rx: Bytes32
    ) {
        self.pattern = pattern
        self.protocolName = protocolName
        self.isInitiator = isInitiator
        self.prologue = prologue
        self.staticKey = staticKey
        self.staticSecretKey = staticSecretKey
        self.ephemeralKey = ephemeralKey
        self.ephemeralSecretKey = ephemeralSecretKey
        self.remoteStaticKey = remoteStaticKey
        self.remoteEphemeralKey = remoteEphemeralKey
        self.messages = messages
        self.hash = hash
        self.tx = tx
        self.rx = rx
    }

    init(_ line: inout StrictLine) throws(KeyLogError) {
        pattern = try line.string("pattern")
        protocolName = try line.string("protocol")
        isInitiator = try line.bool("initiator")
        prologue = try line.bytes("prologue")
        staticKey = try line.optionalBytes32("s")
        staticSecretKey = try line.optionalBytes("sSecret", count: 64)
        ephemeralKey = try line.bytes32("e")
        ephemeralSecretKey = try line.bytes("eSecret", count: 64)
        remoteStaticKey = try line.optionalBytes32("rs")
        remoteEphemeralKey = try line.optionalBytes32("re")
        guard let values = try line.value("messages").array else { throw line.failure("\"messages\" must be an array", at: "messages") }
        messages = []
        for value in values {
            var inner = try StrictLine(value, file: line.file, line: line.line)
            let direction = try inner.string("dir")
            guard direction == "send" || direction == "recv" else {
                throw inner.failure("\"dir\" must be \"send\" or \"recv\"", at: "dir")
            }
            messages.append(
                Message(isSent: direction == "send", message: try inner.bytes("message"), payload: try inner.bytes("payload")))
            try inner.finish()
        }
        hash = try line.bytes("hash", count: 64)
        tx = try line.bytes32("tx")
        rx = try line.bytes32("rx")
    }

    func write(to object: inout JSONObject) {
        object.set("pattern", .string(pattern))
        object.set("protocol", .string(protocolName))
        object.set("initiator", .bool(isInitiator))
        object.set("prologue", hex(prologue))
        object.set("s", hex(staticKey))
        object.set("sSecret", hex(staticSecretKey))
        object.set("e", hex(ephemeralKey))
        object.set("eSecret", hex(ephemeralSecretKey))
        object.set("rs", hex(remoteStaticKey))
        object.set("re", hex(remoteEphemeralKey))
        object.set(
            "messages",
            .array(
                messages.map {
                    ["dir": $0.isSent ? "send" : "recv", "message": hex($0.message), "payload": hex($0.payload)]
                }))
        object.set("hash", hex(hash))
        object.set("tx", hex(tx))
        object.set("rx", hex(rx))
    }
}

/// A handshake that failed on this side: what is known of it. Only pattern and role are sure to be there.
public struct NoiseErrorRecord: Sendable, Equatable {
    public var pattern: String
    public var isInitiator: Bool
    /// The error's text.
    public var error: String?
    /// The message that could not be read, if it was one.
    public var message: [UInt8]?

    public init(pattern: String, isInitiator: Bool, error: String?, message: [UInt8]?) {
        self.pattern = pattern
        self.isInitiator = isInitiator
        self.error = error
        self.message = message
    }

    init(_ line: inout StrictLine) throws(KeyLogError) {
        pattern = try line.string("pattern")
        isInitiator = try line.bool("initiator")
        let text = line.optional("error") ?? line.optional("code")
        error = text?.string
        message = try line.optionalBytes("message")
        // Recorders may add the keys that an unfinished handshake has; they are lines of their own as `noise-ephemeral`.
        for key in ["code", "error", "dir", "protocol", "prologue", "s", "sSecret", "e", "eSecret", "rs", "re", "messages"] {
            _ = line.optional(key)
        }
    }

    func write(to object: inout JSONObject) {
        object.set("pattern", .string(pattern))
        object.set("initiator", .bool(isInitiator))
        object.set("error", error.map { .string($0) } ?? .null)
        object.set("message", hex(message))
    }
}
