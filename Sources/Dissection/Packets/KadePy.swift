import CompactEncoding
import HyperCrypto

/// A packet of KadePy's own protocols. They are recognised and named, never spoken. kadepy.md.
public struct KadePyMessage: Sendable, Hashable, CustomStringConvertible {
    public enum Family: String, Sendable {
        case dht010 = "0.1.0"
        case dht02 = "0.2.x"
        case dht02Native = "0.2.x native_hyperswarm"
        case dht02Encrypted = "0.2.x with a network key"
        case transport02 = "0.2.1 to 0.2.4 transport"
        case extension03 = "0.3.0 C extension"
    }

    public let family: Family
    public let name: String

    public var description: String { "KadePy \(family.rawValue) \(name)" }

    private static let names = ["PING", "PONG", "FIND_NODE", "FOUND_NODES", "ANNOUNCE", "GET_PEERS", "PEERS"]

    /// nil if these bytes are not KadePy's. The caller has ruled out well-formed dht-rpc before: type 3 is also dht-rpc's request byte.
    static func recognise(_ bytes: [UInt8]) -> KadePyMessage? {
        guard let first = bytes.first else { return nil }
        if let transport = transport(bytes, first) { return transport }
        if let extended = cExtension(bytes) { return extended }
        guard first < 7 else { return nil }
        let name = names[Int(first)]
        if fits(bytes, type: first, header: 33) { return KadePyMessage(family: .dht010, name: name) }
        let isUnsigned = bytes.count >= 105 && bytes[41..<105].allSatisfy { $0 == 0xee }
        if fits(bytes, type: first, header: 105) {
            return KadePyMessage(family: isUnsigned ? .dht02 : .dht02Native, name: name)
        }
        if isUnsigned, fitsEncrypted(bytes.count, type: first) { return KadePyMessage(family: .dht02Encrypted, name: name) }
        return nil
    }

    /// Length and, for lists, the count byte.
    private static func fits(_ bytes: [UInt8], type: UInt8, header: Int) -> Bool {
        switch type {
        case 0, 1: bytes.count == header
        case 2, 5: bytes.count == header + 32
        case 4: bytes.count == header + 34
        case 3: bytes.count > header && bytes.count == header + 1 + 38 * Int(bytes[header])
        case 6: bytes.count > header + 32 && bytes.count == header + 33 + 6 * Int(bytes[header + 32])
        default: false
        }
    }

    private static func fitsEncrypted(_ count: Int, type: UInt8) -> Bool {
        switch type {
        case 0, 1: count == 117
        case 2, 5: count == 149
        case 4: count == 151
        case 3: count >= 118 && (count - 118) % 38 == 0
        case 6: count >= 150 && (count - 150) % 6 == 0
        default: false
        }
    }

    private static func transport(_ bytes: [UInt8], _ first: UInt8) -> KadePyMessage? {
        // Connection id 12345, little-endian.
        guard bytes.count >= 13, bytes[1] == 0x39, bytes[2] == 0x30, bytes[3] == 0, bytes[4] == 0 else { return nil }
        switch first {
        case 0x80:
            let body = bytes.count - 13
            let name =
                body == 33 && bytes[13] == 1
                ? "DATA handshake 1"
                : body == 81 && bytes[13] == 2 ? "DATA handshake 2" : body == 49 && bytes[13] == 3 ? "DATA handshake 3" : "DATA"
            return KadePyMessage(family: .transport02, name: name)
        case 0x81: return bytes.count == 13 ? KadePyMessage(family: .transport02, name: "ACK") : nil
        case 0x84: return KadePyMessage(family: .transport02, name: "HOLEPUNCH")
        default: return nil
        }
    }

    private static func cExtension(_ bytes: [UInt8]) -> KadePyMessage? {
        // A UDX header of type DATA with stream id 0, the constant window, and no acknowledgement ever.
        guard bytes.count > 20, bytes.starts(with: [0xff, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0x40, 0]), bytes[16..<20].allSatisfy({ $0 == 0 })
        else {
            return nil
        }
        let seq = UInt32(bytes[12]) | UInt32(bytes[13]) << 8
        let name =
            seq == 0 && bytes.count == 52
            ? "DATA handshake 1"
            : seq == 0 && bytes.count == 116 ? "DATA handshake 2" : seq == 1 && bytes.count == 84 ? "DATA handshake 3" : "DATA"
        return KadePyMessage(family: .extension03, name: name)
    }

    /// Fields with their names, for display and byte accounting. What is ciphertext is returned as opaque ranges.
    func dissect(_ bytes: [UInt8], _ recorder: FieldRecorder) -> [(range: Range<Int>, reason: String)] {
        var reader = Reader(bytes, recorder: recorder)
        return (try? fields(&reader)) ?? [(range: reader.offset..<bytes.count, reason: "KadePy payload of another shape")]
    }

    private func fields(_ reader: inout Reader) throws(DecodingFailure) -> [(range: Range<Int>, reason: String)] {
        switch family {
        case .dht010, .dht02, .dht02Native, .dht02Encrypted:
            let type = try reader.uint8("type")
            _ = try reader.fixed32("sender")
            if family != .dht010 {
                _ = try reader.biguint64("time")
                _ = try reader.fixed(64, "signature")
            }
            if family == .dht02Encrypted {
                _ = try reader.fixed(12, "nonce")
                return reader.isAtEnd ? [] : [(reader.offset..<reader.end, "KadePy ChaCha20 without a tag")]
            }
            try payload(type, &reader)
            return []
        case .transport02:
            let type = try reader.uint8("type")
            _ = try reader.uint32("connectionID")
            _ = try reader.uint32("seq")
            _ = try reader.uint32("ack")
            if type == 0x84 {
                _ = reader.raw("text")
                return []
            }
            return reader.isAtEnd ? [] : [(reader.offset..<reader.end, "KadePy handshake or secretbox over X25519")]
        case .extension03:
            _ = try reader.fixed(4, "magic")
            _ = try reader.uint32("streamID")
            _ = try reader.uint32("window")
            _ = try reader.uint32("seq")
            _ = try reader.uint32("ack")
            return [(reader.offset..<reader.end, "KadePy handshake or cipher over X25519")]
        }
    }

    private func payload(_ type: UInt8, _ reader: inout Reader) throws(DecodingFailure) {
        switch type {
        case 2: _ = try reader.fixed32("target")
        case 4:
            _ = try reader.fixed32("topic")
            _ = try reader.uint16("port")
        case 5: _ = try reader.fixed32("topic")
        case 3:
            let count = try reader.uint8("count")
            for _ in 0..<count {
                _ = try reader.fixed32("id")
                _ = try reader.ipv4("ip")
                _ = try reader.fixed(2, "port")
            }
        case 6:
            _ = try reader.fixed32("topic")
            let count = try reader.uint8("count")
            for _ in 0..<count {
                _ = try reader.ipv4("ip")
                _ = try reader.fixed(2, "port")
            }
        default: break
        }
    }

    /// The native module signs bytes 0..40 and the payload with the sender id as Ed25519 key.
    static func signatureIsValid(_ bytes: [UInt8]) -> Bool {
        guard bytes.count >= 105, let key = Bytes32(bytes[1..<33]) else { return false }
        return Ed25519.verify(Array(bytes[41..<105]), Array(bytes[..<41]) + Array(bytes[105...]), key)
    }
}
