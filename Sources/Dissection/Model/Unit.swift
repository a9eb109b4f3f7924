import CompactEncoding

/// A layer of the stack, from the wire upwards.
public enum Layer: String, Sendable, CaseIterable {
    case udx, dhtRPC = "dht-rpc", hyperDHT = "hyperdht", noise, noisePayload = "noise payload", holepunch = "holepunch payload"
    case secretStream = "secret-stream", message = "unordered message", protomux, blindRelay = "blind-relay", kadepy, raw, marker
}

/// One decoded message of one layer: its fields as the layer's own codec read them.
public struct Unit: Sendable {
    public let layer: Layer
    /// "FIND_NODE request", "DATA+END", "pair"...
    public var name: String
    /// The bytes that the fields' ranges refer to: the payload itself, or a plaintext.
    public let bytes: [UInt8]
    /// Part of `bytes` that this unit covers.
    public let range: Range<Int>
    public var fields: [FieldRecord]
    /// True if `bytes` is the packet's payload, false for plaintext.
    public let isWire: Bool
    /// What the analysis adds ("id verified", "retransmission of packet 7").
    public var notes: [String] = []

    public init(layer: Layer, name: String, bytes: [UInt8], range: Range<Int>? = nil, fields: [FieldRecord] = [], isWire: Bool = true) {
        self.layer = layer
        self.name = name
        self.bytes = bytes
        self.range = range ?? 0..<bytes.count
        self.fields = fields
        self.isWire = isWire
    }

    /// The first field of that name, at any depth.
    public func field(_ name: String) -> FieldRecord? { fields.first { $0.name.description == name } }

    /// The innermost field that covers a byte, with its group names before it ("peer.relayAddresses[1]").
    public func path(at offset: Int) -> String {
        var stack: [FieldRecord] = []
        var best = ""
        for record in fields {
            while let last = stack.last, last.depth >= record.depth { stack.removeLast() }
            stack.append(record)
            if record.wholeRange.contains(offset) { best = Unit.path(stack) }
        }
        return best
    }

    static func path(_ stack: [FieldRecord]) -> String {
        var text = ""
        for record in stack {
            if record.index >= 0 {
                text += "[\(record.index)]"
                // Items are named after what they are; the array's own name already says it.
                if record.value != .group { continue }
                continue
            }
            text += (text.isEmpty ? "" : ".") + record.name.description
        }
        return text
    }
}

/// For files that import Foundation, which has a `Unit` of its own.
public typealias ProtocolUnit = Unit
