import CompactEncoding
import DHTRPC
import SansIO
import StrictJSON

/// The `fields` beside a packet explain its bytes to a reader; what dht-rpc itself can decode of them must agree with the bytes.
enum ExchangeFields {
    /// In a template tid and `to` are filled in later.
    static func check(_ fields: JSON, _ packet: [UInt8], isTemplate: Bool = false) throws {
        guard let object = fields.object else { throw ExchangeFormatError("fields must be an object", fields) }
        if object["undecodable"]?.bool == true || object["type"]?.string == "udx" { return }
        if let request = try? Request(decoding: packet) {
            if !isTemplate {
                try compare(fields, "tid", .integer(request.tid))
                try compare(fields, "to", Exchange.json(request.to))
            }
            try compare(fields, "id", request.id.map { .string($0.description) })
            try compare(fields, "token", request.token.map { .string($0.description) })
            try compare(fields, "internal", .bool(request.isInternal))
            try compare(fields, "command", .integer(request.command))
            try compare(fields, "target", request.target.map { .string($0.description) })
        } else if let response = try? Response(decoding: packet) {
            if !isTemplate {
                try compare(fields, "tid", .integer(response.tid))
                try compare(fields, "to", Exchange.json(response.to))
            }
            try compare(fields, "id", response.id.map { .string($0.description) })
            try compare(fields, "token", response.token.map { .string($0.description) })
            try compare(fields, "error", response.error > 0 ? .integer(response.error) : nil)
            try compare(fields, "closerNodes", response.closerNodes.isEmpty ? nil : .array(response.closerNodes.map(Exchange.json)))
        }
    }

    /// A field that is shown must be the one in the bytes.
    private static func compare(_ fields: JSON, _ key: String, _ actual: JSON?) throws {
        guard let shown = fields[key] else { return }
        guard shown == actual else {
            throw ExchangeFormatError("\"\(key)\" is shown as \(shown.text()), the bytes say \(actual?.text() ?? "nothing")", shown)
        }
    }
}
