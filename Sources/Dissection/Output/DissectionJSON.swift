import CompactEncoding
import StrictJSON

/// Packets for programs, `hyperswarm-dissection/1`: one object a packet.
public enum DissectionJSON {
    public static let schema = "hyperswarm-dissection/1"

    public static func packet(_ packet: DissectedPacket, issues: [Issue]) -> JSON {
        var object = JSONObject()
        object.set("number", .integer(packet.number))
        object.set("timeNanoseconds", .integer(packet.packet.timeNanoseconds))
        object.set("from", .string(packet.packet.source.description))
        object.set("to", .string(packet.packet.destination.description))
        object.set("kind", .string(packet.kind.name))
        object.set("summary", .string(packet.summary))
        object.set("labels", .array(packet.labels.map { .string($0) }))
        object.set("payloadBytes", .integer(packet.packet.payload.count))
        object.set("units", .array(packet.units.map(unit)))
        object.set(
            "issues",
            .array(
                issues.map {
                    .object(
                        JSONObject([
                            "rule": .string($0.rule.rawValue), "field": .string($0.field),
                            "offset": $0.offset.map { .integer($0) } ?? .null,
                            "message": .string($0.message),
                        ]))
                }))
        return .object(object)
    }

    private static func unit(_ unit: Unit) -> JSON {
        var object = JSONObject()
        object.set("layer", .string(unit.layer.rawValue))
        object.set("name", .string(unit.name))
        object.set("isDecrypted", .bool(!unit.isWire))
        object.set("fields", .array(unit.fields.map { field($0, unit) }))
        if !unit.notes.isEmpty { object.set("notes", .array(unit.notes.map { .string($0) })) }
        return .object(object)
    }

    private static func field(_ record: FieldRecord, _ unit: Unit) -> JSON {
        var object = JSONObject()
        object.set("name", .string(record.name.description))
        object.set("depth", .integer(record.depth))
        if record.index >= 0 { object.set("index", .integer(record.index)) }
        object.set("start", .integer(record.prefixStart))
        object.set("end", .integer(record.end))
        let value: JSON? =
            switch record.value {
            case .uint(let value): .integer(value)
            case .int(let value): .integer(value)
            case .double(let value): .number(value)
            case .bool(let value): .bool(value)
            case .endpoint(let value): .string(value.description)
            case .address(let value): .string(value.description)
            case .string: .string(String(decoding: unit.bytes[record.range.clamped(to: 0..<unit.bytes.count)], as: UTF8.self))
            case .bytes: .string(Hex.encode(unit.bytes[record.range.clamped(to: 0..<unit.bytes.count)]))
            case .group: nil
            }
        if let value { object.set("value", value) }
        return .object(object)
    }
}
