import CompactEncoding
import Conformance
import SansIO
import StrictJSON

/// vectors/compact-encoding.json and -invalid: every type both ways, and what a decoder must refuse.
enum CompactEncodingVectors {
    static let checks: [Check] = [
        Check("ground.compact-encoding", [], .vector, .codec) { exam in
            try VectorFile("compact-encoding", in: exam.corpus).examine(exam, both)
        },
        Check("ground.compact-encoding-invalid", [], .vector, .codec) { exam in
            try VectorFile("compact-encoding-invalid", in: exam.corpus).examine(exam) { try refused($0, exam) }
        },
    ]

    // MARK: Both ways

    private static func both(_ node: VectorNode) throws {
        let type = try node["type"].string()
        let value = try node["value"]
        let encoded = try node["encoded"]
        var writer = Writer()
        try write(type, value, to: &writer)
        encoded.expect(writer.bytes)
        var reader = Reader(try encoded.bytes())
        try compare(type, value, with: &reader)
        if !reader.isAtEnd {
            throw VectorNode.Mismatch(path: encoded.path, expected: "nothing left over", actual: "\(reader.remaining) bytes")
        }
    }

    /// "uint24" and its like: signedness and width in bytes.
    private static func fixedWidth(_ type: String) -> (isSigned: Bool, bytes: Int)? {
        let isSigned = type.hasPrefix("int")
        guard isSigned || type.hasPrefix("uint"), let bits = Int(type.dropFirst(isSigned ? 3 : 4)), bits % 8 == 0 else { return nil }
        return (isSigned, bits / 8)
    }

    private static func element(of type: String, _ wrapper: String) -> String? {
        type.hasPrefix(wrapper + "(") && type.hasSuffix(")") ? String(type.dropFirst(wrapper.count + 1).dropLast()) : nil
    }

    private static func write(_ type: String, _ value: VectorNode, to writer: inout Writer) throws {
        if let width = fixedWidth(type) {
            if width.isSigned {
                writer.fixedInt(try value.int(), width: width.bytes)
            } else {
                writer.fixedUint(try value.uint(), width: width.bytes)
            }
            return
        }
        if let item = element(of: type, "array") {
            let elements = try value.elements()
            writer.uint(elements.count)
            for child in elements { try write(item, child, to: &writer) }
            return
        }
        if let content = element(of: type, "frame") {
            var inner = Writer()
            try write(content, value, to: &inner)
            writer.buffer(inner.bytes)
            return
        }
        switch type {
        case "uint": writer.uint(try value.uint())
        case "int": writer.int(try value.int())
        case "biguint64": writer.biguint64(try value.uint())
        case "lexint": writer.lexint(try value.uint())
        case "float32": writer.float32(Float(try value.double()))
        case "float64": writer.float64(try value.double())
        case "utf8": writer.string(try value.string())
        case "buffer": writer.buffer(try value.bytes())
        case "optionalBuffer": writer.buffer(value.isNull ? [] : try value.bytes())
        case "bool": writer.bool(try value.bool())
        case "fixed32": writer.fixed32(try value.bytes32())
        case "fixed64": writer.fixed(try value.bytes())
        case "ipv4", "ipv6": writer.host(try address(value))
        case "ipv4Address", "ipv6Address": writer.address(Endpoint(try address(value["host"]), UInt16(clamping: try value["port"].uint())))
        default: throw unknown(type, value)
        }
    }

    private static func compare(_ type: String, _ value: VectorNode, with reader: inout Reader) throws {
        if let width = fixedWidth(type) {
            if width.isSigned {
                value.expect(try reader.fixedInt(width.bytes, "value"))
            } else {
                value.expect(try reader.fixedUint(width.bytes, "value"))
            }
            return
        }
        if let item = element(of: type, "array") {
            let children = try value.elements()
            let count = try reader.uint("count")
            guard count == UInt64(children.count) else {
                throw VectorNode.Mismatch(path: value.path, expected: "\(children.count) elements", actual: "\(count)")
            }
            for child in children { try compare(item, child, with: &reader) }
            return
        }
        if let content = element(of: type, "frame") {
            var inner = reader.nested(try reader.bufferRange("frame"))
            try compare(content, value, with: &inner)
            if !inner.isAtEnd {
                throw VectorNode.Mismatch(path: value.path, expected: "a whole frame", actual: "\(inner.remaining) bytes left")
            }
            return
        }
        switch type {
        case "uint": value.expect(try reader.uint("value"))
        case "int": value.expect(try reader.int("value"))
        case "biguint64": value.expect(try reader.biguint64("value"))
        case "lexint": value.expect(try reader.lexint("value"))
        case "float32":
            // The file holds the shortest decimal of the double; the wire holds a float.
            let decoded = try reader.float32("value")
            value.compare(decoded == Float(try value.double()) ? value.json : .number(Double(decoded)))
        case "float64":
            let decoded = try reader.float64("value")
            value.compare(decoded == (try value.double()) ? value.json : .number(decoded))
        case "utf8": value.expect(try reader.string("value"))
        case "buffer": value.expect(try reader.buffer("value"))
        case "optionalBuffer":
            let bytes = try reader.buffer("value")
            value.expect(bytes.isEmpty ? nil : bytes)
        case "bool": value.expect(try reader.bool("value"))
        case "fixed32": value.expect(try reader.fixed32("value"))
        case "fixed64": value.expect(try reader.fixed(64, "value"))
        case "ipv4": try compare(value, try reader.ipv4("value"))
        case "ipv6": try compare(value, try reader.ipv6("value"))
        case "ipv4Address":
            let endpoint = try reader.ipv4Address("value")
            try compare(value["host"], endpoint.address)
            try value["port"].expect(endpoint.port)
        case "ipv6Address":
            let endpoint = try reader.ipv6Address("value")
            try compare(value["host"], endpoint.address)
            try value["port"].expect(endpoint.port)
        default: throw unknown(type, value)
        }
    }

    /// An address has several texts; what counts is that both mean the same.
    private static func compare(_ node: VectorNode, _ decoded: IPAddress) throws {
        node.expect(decoded == (try address(node)) ? try node.string() : decoded.description)
    }

    private static func address(_ node: VectorNode) throws -> IPAddress {
        let text = try node.string()
        guard let address = IPAddress(text) else { throw VectorNode.Mismatch(path: node.path, expected: "an address", actual: text) }
        return address
    }

    private static func unknown(_ type: String, _ node: VectorNode) -> VectorNode.Mismatch {
        VectorNode.Mismatch(path: node.path, expected: "a known type", actual: type)
    }

    // MARK: Refused

    private static func refused(_ node: VectorNode, _ exam: Examination) throws {
        let type = try node["type"].string()
        let bytes = try node["encoded"].bytes()
        var reader = Reader(bytes)
        var failure: DecodingFailure?
        do { try skip(type, &reader, node) } catch let error as DecodingFailure { failure = error }
        try node["refused"].expect(failure != nil)
        let texts: [DecodingFailure.Kind: String] = [.outOfBounds: "Out of bounds", .arrayTooLong: "Array is too big"]
        try node["message"].expect(failure.flatMap { texts[$0.kind] } ?? "accepted")
        // The bytes themselves are pinned: another refused text must not pass for this one.
        if let pinned = refusedBytes[try node["id"].string()] { try node["encoded"].expect(Hex.decode(pinned)) }
    }

    private static func skip(_ type: String, _ reader: inout Reader, _ node: VectorNode) throws {
        if let width = fixedWidth(type), !width.isSigned {
            _ = try reader.fixedUint(width.bytes, "value")
            return
        }
        switch type {
        case "uint": _ = try reader.uint("value")
        case "buffer": _ = try reader.buffer("value")
        case "utf8": _ = try reader.string("value")
        case "fixed32": _ = try reader.fixed32("value")
        case "fixed64": _ = try reader.fixed(64, "value")
        case "array(uint)":
            _ = try reader.array("value") { (reader: inout Reader) throws(DecodingFailure) -> UInt64 in try reader.uint("item") }
        case "ipv4": _ = try reader.ipv4("value")
        case "ipv4Address": _ = try reader.ipv4Address("value")
        default: throw unknown(type, node)
        }
    }

    /// What must be refused does not say by itself that it was damaged, so the cases' bytes stand here a second time.
    private static let refusedBytes: [String: String] = [
        "compact-encoding-invalid-1": "", "compact-encoding-invalid-2": "fd", "compact-encoding-invalid-3": "fd01",
        "compact-encoding-invalid-4": "fe010203", "compact-encoding-invalid-5": "ff01020304050607",
        "compact-encoding-invalid-6": "05010203", "compact-encoding-invalid-7": "ff0000000001000000", "compact-encoding-invalid-8": "0361",
        "compact-encoding-invalid-9": String(repeating: "00", count: 31), "compact-encoding-invalid-10": String(repeating: "00", count: 63),
        "compact-encoding-invalid-11": "0301", "compact-encoding-invalid-12": "feffffffff", "compact-encoding-invalid-13": "7f0000",
        "compact-encoding-invalid-14": "7f00000101", "compact-encoding-invalid-15": "01", "compact-encoding-invalid-16": "010203",
    ]
}
