import CompactEncoding
import Conformance
import DHTRPC
import SansIO
import StrictJSON

/// The golden vectors of dht-rpc: messages, tokens, node ids, the NAT sampler.
enum DHTRPCVectors {
    static let checks: [Check] = [
        Check("dht.vectors.messages", ["DHT-2", "DHT-5", "DHT-15", "DHT-56"], .vector, .codec) { try messages($0) },
        Check("dht.vectors.messages-cut", ["DHT-10"], .vector, .codec) { try cutMessages($0) },
        Check("dht.vectors.messages-loose", ["DHT-6", "DHT-7", "DHT-25", "DHT-39"], .vector, .codec) { try looseMessages($0) },
        Check("dht.vectors.tokens", ["DHT-26", "DHT-27", "DHT-28", "DHT-29"], .vector, .codec) { try tokens($0) },
        Check("dht.vectors.node-id", ["DHT-3", "DHT-30"], .vector, .codec) { try nodeIDs($0) },
        Check("dht.vectors.nat-sampler", ["DHT-47"], .vector, .codec) { try sampler($0) },
    ]

    private static func endpoint(_ node: VectorNode) throws -> Endpoint {
        let text = try node["host"].string()
        guard let host = IPAddress(text) else {
            throw VectorNode.Mismatch(path: node.path + ".host", expected: "an IP address", actual: text)
        }
        let port = try node["port"].uint()
        guard let port = UInt16(exactly: port) else {
            throw VectorNode.Mismatch(path: node.path + ".port", expected: "a port", actual: "\(port)")
        }
        return Endpoint(host, port)
    }

    private static func expect(_ node: VectorNode, _ endpoint: Endpoint) throws {
        try node["host"].expect(endpoint.address.description)
        try node["port"].expect(endpoint.port)
    }

    private static func optional32(_ node: VectorNode) throws -> Bytes32? { node.isNull ? nil : try node.bytes32() }

    private static func tid(_ node: VectorNode) throws -> UInt16 {
        guard let tid = UInt16(exactly: try node.uint()) else {
            throw VectorNode.Mismatch(path: node.path, expected: "a tid", actual: "more than 16 bits")
        }
        return tid
    }

    /// Both ways: fields to bytes, bytes to fields.
    private static func messages(_ exam: Examination) throws {
        let file = try VectorFile("dht-rpc-messages", in: exam.corpus)
        file.examine(exam) { node in
            let encoded = try node["encoded"].bytes()
            let value: [UInt8]? = try node["value"].isNull ? nil : node["value"].bytes()
            switch try node["kind"].string() {
            case "request":
                let made = Request(
                    tid: try tid(node["tid"]), to: try endpoint(node["to"]), id: try optional32(node["nodeId"]),
                    token: try optional32(node["token"]), isInternal: try node["internal"].bool(), command: try node["command"].uint(),
                    target: try optional32(node["target"]), value: value)
                try node["encoded"].expect(made.encoded)
                let read = try Request(decoding: encoded)
                try node["tid"].expect(read.tid)
                try expect(node["to"], read.to)
                try node["nodeId"].expect(read.id)
                try node["token"].expect(read.token)
                try node["internal"].expect(read.isInternal)
                try node["command"].expect(read.command)
                try node["target"].expect(read.target)
                try node["value"].expect(read.value)
            case "response":
                let made = Response(
                    tid: try tid(node["tid"]), to: try endpoint(node["to"]), id: try optional32(node["nodeId"]),
                    token: try optional32(node["token"]), closerNodes: try node["closerNodes"].elements().map(endpoint),
                    error: try node["error"].uint(), value: value)
                try node["encoded"].expect(made.encoded)
                let read = try Response(decoding: encoded)
                try node["tid"].expect(read.tid)
                try expect(node["to"], read.to)
                try node["nodeId"].expect(read.id)
                try node["token"].expect(read.token)
                let nodes = try node["closerNodes"].elements()
                exam.equal("closerNodes.count", read.closerNodes.count, nodes.count)
                for (expected, actual) in zip(nodes, read.closerNodes) { try expect(expected, actual) }
                try node["error"].expect(read.error)
                try node["value"].expect(read.value)
            case let kind:
                throw VectorNode.Mismatch(path: node.path + ".kind", expected: "request or response", actual: kind)
            }
        }
    }

    /// No strict prefix of a message decodes: each announced field must be there in full.
    private static func cutMessages(_ exam: Examination) throws {
        let file = try VectorFile("dht-rpc-messages", in: exam.corpus)
        for json in file.cases {
            guard let bytes = json["encoded"]?.string.flatMap({ Hex.decode($0) }) else { continue }
            exam.at(json["id"]?.string ?? "?") {
                for length in 0..<bytes.count {
                    let prefix = Array(bytes[..<length])
                    exam.refuses("prefix of \(length) bytes") {
                        if bytes.first == MessageType.request.rawValue {
                            _ = try Request(decoding: prefix)
                        } else {
                            _ = try Response(decoding: prefix)
                        }
                    }
                }
            }
        }
    }

    /// What a decoder has to put up with: unknown flag bits, bytes after the end, long integers; and what it may not: huge counts.
    private static func looseMessages(_ exam: Examination) throws {
        let ping = Request(tid: 0x1234, to: Endpoint.loopback(49737), isInternal: true, command: 0)
        var bits = ping.encoded
        bits[1] |= 0xe0
        exam.equal("unknown flags", try? Request(decoding: bits), ping)
        exam.equal("ten bytes after the end", try? Request(decoding: ping.encoded + [UInt8](repeating: 0xaa, count: 10)), ping)
        exam.equal("command as fd 00 00", try? Request(decoding: ping.encoded.dropLast() + [0xfd, 0, 0]), ping)
        let response = Response(tid: 1, to: Endpoint.loopback(1))
        exam.equal("ten bytes after a response", try? Response(decoding: response.encoded + [UInt8](repeating: 7, count: 10)), response)
        var huge = response.encoded
        huge[1] = 0x04
        huge += [0xfe, 0xff, 0xff, 0xff, 0xff]
        exam.refuses("closerNodes count of 2^32 - 1") { _ = try Response(decoding: huge) }
    }

    private static func tokens(_ exam: Examination) throws {
        let file = try VectorFile("dht-token", in: exam.corpus)
        let entropy = SeededEntropy(seed: exam.seed)
        file.examine(exam) { node in
            guard let host = IPAddress(try node["host"].string()) else { return }
            let secret = try node["secret"].bytes32()
            let token = RoundTripTokens.token(for: host, secret: secret)
            try node["token"].expect(token)
            // The machine's own use of the secret: any port of the host, current and older secret, and no other host.
            let other = Bytes32([UInt8](repeating: 9, count: 32)) ?? .zero
            var current = RoundTripTokens(secrets: other, secret)
            try node["token"].expect(current.issue(for: Endpoint(host, 4000), entropy))
            exam.require("accepted from another port", current.accepts(token, from: Endpoint(host, 4001), entropy))
            exam.require("refused from another host", !current.accepts(token, from: Endpoint(.v4(0x0102_0304), 4000), entropy))
            for _ in 0..<10 { current.drained() }
            exam.require("accepted after one rotation", current.accepts(token, from: Endpoint(host, 4001), entropy))
            for _ in 0..<10 { current.drained() }
            exam.require("refused after two rotations", !current.accepts(token, from: Endpoint(host, 4001), entropy))
        }
    }

    private static func nodeIDs(_ exam: Examination) throws {
        let file = try VectorFile("node-id", in: exam.corpus)
        file.examine(exam) { node in
            let place = try endpoint(node)
            let id = NodeID.of(place)
            try node["nodeId"].expect(id)
            exam.require("matches", NodeID.matches(id, place))
            exam.require("another port does not match", !NodeID.matches(id, Endpoint(place.address, place.port &+ 1)))
        }
    }

    private static func sampler(_ exam: Examination) throws {
        let file = try VectorFile("nat-sampler", in: exam.corpus)
        file.examine(exam) { node in
            var sampler = NATSampler()
            for step in try node["steps"].elements() {
                sampler.add(try endpoint(step["add"]))
                try step["host"].compare(sampler.host.map { .string($0.description) } ?? .null)
                try step["port"].expect(sampler.port)
                try step["size"].expect(sampler.count)
            }
        }
    }
}
