import CompactEncoding
import HyperCrypto
import Hyperswarm
import SansIO
import StrictJSON

/// A request is refused: one of the contract's errors, or `unsupported`.
enum Refusal: Error {
    case error(code: String, message: String)
    /// The command itself, or one of its arguments.
    case unsupported(argument: String?)

    static func badRequest(_ message: String) -> Refusal { .error(code: "BAD_REQUEST", message: message) }
}

/// The arguments of one request. Every argument must be asked for: what is left over at `finish` is refused, so that nothing is ignored in silence.
struct Arguments {
    private let object: JSONObject
    private var known: Set<String> = ["id", "command"]

    init(_ object: JSONObject) { self.object = object }

    private mutating func value(_ key: String) -> JSON? {
        known.insert(key)
        guard let value = object[key], !value.isNull else { return nil }
        return value
    }

    private func wrong(_ key: String, _ expected: String) -> Refusal { .badRequest("\"\(key)\": \(expected) is expected") }

    func finish() throws {
        if let unknown = object.firstUnknown(known) { throw Refusal.badRequest("unknown argument \"\(unknown.key)\"") }
    }

    /// Present, null included.
    mutating func has(_ key: String) -> Bool {
        known.insert(key)
        return object[key] != nil
    }

    mutating func optionalInteger(_ key: String, _ range: ClosedRange<Int64> = 0...(1 << 53 - 1)) throws -> Int64? {
        guard let value = value(key) else { return nil }
        guard let number = value.integer, range.contains(number) else {
            throw wrong(key, "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    mutating func integer(_ key: String, _ range: ClosedRange<Int64> = 0...(1 << 53 - 1)) throws -> Int64 {
        guard let number = try optionalInteger(key, range) else { throw wrong(key, "an integer") }
        return number
    }

    mutating func optionalBool(_ key: String) throws -> Bool? {
        guard let value = value(key) else { return nil }
        guard let flag = value.bool else { throw wrong(key, "true or false") }
        return flag
    }

    mutating func optionalString(_ key: String) throws -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw wrong(key, "a string") }
        return text
    }

    mutating func string(_ key: String) throws -> String {
        guard let text = try optionalString(key) else { throw wrong(key, "a string") }
        return text
    }

    mutating func optionalBytes(_ key: String, count: Int? = nil) throws -> [UInt8]? {
        guard let text = try optionalString(key) else { return nil }
        return try bytes(text, key, count)
    }

    private func bytes(_ text: String, _ key: String, _ count: Int?) throws -> [UInt8] {
        guard let bytes = Hex.decode(text), Hex.encode(bytes) == text else { throw wrong(key, "lower-case hexadecimal digits") }
        if let count, bytes.count != count { throw wrong(key, "\(count) bytes") }
        return bytes
    }

    mutating func bytes(_ key: String, count: Int? = nil) throws -> [UInt8] {
        guard let bytes = try optionalBytes(key, count: count) else { throw wrong(key, "bytes in hexadecimal") }
        return bytes
    }

    mutating func optionalKey(_ key: String) throws -> Bytes32? { try optionalBytes(key, count: 32).flatMap { Bytes32($0) } }
    mutating func key(_ key: String) throws -> Bytes32 { Bytes32(try bytes(key, count: 32)) ?? .zero }

    mutating func optionalKeyPair(_ key: String = "seed") throws -> KeyPair? {
        try optionalBytes(key, count: 32).flatMap { KeyPair(seed: $0) }
    }

    mutating func optionalHost(_ key: String) throws -> IPAddress? {
        guard let text = try optionalString(key) else { return nil }
        guard let address = IPAddress(text) else { throw wrong(key, "an IPv4 or IPv6 literal") }
        return address
    }

    /// The members `host` and `port` of the request itself.
    mutating func endpoint() throws -> Endpoint {
        guard let host = try optionalHost("host") else { throw wrong("host", "an address literal") }
        return Endpoint(host, UInt16(try integer("port", 0...65535)))
    }

    mutating func optionalEndpoints(_ key: String) throws -> [Endpoint]? {
        guard let value = value(key) else { return nil }
        guard let list = value.array else { throw wrong(key, "an array of addresses") }
        return try list.map { item in
            guard let object = item.object, object.firstUnknown(["host", "port", "id"]) == nil, let host = object["host"]?.string,
                let address = IPAddress(host), let port = object["port"]?.integer, (0...65535).contains(port)
            else { throw wrong(key, "addresses {\"host\", \"port\"}") }
            return Endpoint(address, UInt16(port))
        }
    }

    mutating func optionalIntegers(_ key: String) throws -> [Int64]? {
        guard let value = value(key) else { return nil }
        guard let list = value.array else { throw wrong(key, "an array of integers") }
        return try list.map {
            guard let number = $0.integer, number >= 0 else { throw wrong(key, "an array of integers") }
            return number
        }
    }

    mutating func optionalStrings(_ key: String) throws -> [String]? {
        guard let value = value(key) else { return nil }
        guard let list = value.array else { throw wrong(key, "an array of strings") }
        return try list.map {
            guard let text = $0.string else { throw wrong(key, "an array of strings") }
            return text
        }
    }

    mutating func optionalFirewall(_ key: String) throws -> FirewallObject? {
        guard let value = value(key) else { return nil }
        guard let object = value.object, object.members.count == 1, let member = object.members.first,
            ["allow", "deny"].contains(member.key),
            let list = member.value.array
        else { throw wrong(key, "{\"allow\": [keys]} or {\"deny\": [keys]}") }
        let keys = try list.map { item in
            guard let text = item.string, let key = Bytes32(try bytes(text, key, 32)) else { throw wrong(key, "public keys") }
            return key
        }
        return FirewallObject(isAllowList: member.key == "allow", keys: Set(keys))
    }

    mutating func receive() throws -> ReceiveMode {
        guard let text = try optionalString("receive") else { return .events }
        guard let mode = ReceiveMode(rawValue: text) else { throw wrong("receive", "events, digest, echo or protomux") }
        return mode
    }

    mutating func channels() throws -> [ChannelRequest] {
        guard let value = value("channels") else { return [] }
        guard let list = value.array else { throw wrong("channels", "an array") }
        return try list.map { item in
            guard let object = item.object else { throw wrong("channels", "objects") }
            var inner = Arguments(object)
            let request = try ChannelRequest(&inner)
            try inner.finish()
            return request
        }
    }
}

/// Whom to refuse.
struct FirewallObject: Sendable {
    let isAllowList: Bool
    let keys: Set<Bytes32>

    func refuses(_ key: Bytes32) -> Bool { keys.contains(key) != isAllowList }
}

/// What a peer does with data that arrives.
enum ReceiveMode: String, Sendable {
    case events, digest, echo, protomux
}
