import Conformance
import SansIO
import StrictJSON
import Testing

/// A damaged file must be noticed: one hexadecimal digit of what was recorded, changed, turns a check red.
@Suite struct DHTRPCFlipTests {
    /// Places of hexadecimal digits inside the string values of these keys.
    private static func digits(_ text: [UInt8], keys: [String]) -> [Int] {
        var result: [Int] = []
        for key in keys {
            let pattern = Array("\"\(key)\": \"".utf8)
            var at = 0
            while at + pattern.count < text.count {
                guard text[at] == pattern[0], Array(text[at..<at + pattern.count]) == pattern else {
                    at += 1
                    continue
                }
                at += pattern.count
                while text[at] != UInt8(ascii: "\"") {
                    result.append(at)
                    at += 1
                }
            }
        }
        return result
    }

    private static func flip(_ digit: UInt8) -> UInt8 { digit == UInt8(ascii: "3") ? UInt8(ascii: "5") : UInt8(ascii: "3") }

    @Test(arguments: [
        ("dht-rpc-messages", "dht.vectors.messages", ["encoded", "nodeId", "token", "target", "value"]),
        ("dht-token", "dht.vectors.tokens", ["secret", "token"]), ("node-id", "dht.vectors.node-id", ["nodeId"]),
    ])
    func vectors(_ file: String, _ id: String, _ keys: [String]) throws {
        let corpus = try #require(DHTRPCCheckTests.corpus)
        let check = try #require(DHTRPCCheckTests.suites.flatMap(\.checks).first { $0.id == id })
        let text = try corpus.read("vectors/\(file).json")
        let places = Self.digits(text, keys: keys)
        let entropy = SeededEntropy(seed: 1)
        for _ in 0..<12 {
            let place = places[Int(entropy.uniform(below: UInt64(places.count), for: EntropyLabel(.test)))]
            var damaged = text
            damaged[place] = Self.flip(text[place])
            var other = corpus
            other.overlays["vectors/\(file).json"] = damaged
            let exam = Examination(corpus: other)
            try? check.run(exam)
            #expect(!exam.findings.isEmpty, "offset \(place)")
        }
    }

    /// A third of the cases of the exchanges (by the length of their ids), each with one digit of one recorded answer changed.
    @Test func exchanges() throws {
        let corpus = try #require(DHTRPCCheckTests.corpus)
        let text = try corpus.read("vectors/dht-exchanges.json")
        let checks = DHTRPCCheckTests.suites.flatMap(\.checks).filter { $0.id.hasPrefix("dht.exchange.dht-") && $0.tier == .machine }
        let entropy = SeededEntropy(seed: 2)
        let root = try JSON.parse(text)
        for json in (root["cases"]?.array ?? []).filter({ ($0["id"]?.string?.utf8.count ?? 0) % 3 == 0 }) {
            guard let id = json["id"]?.string, let check = checks.first(where: { $0.id == "dht.exchange.\(id)" }) else { continue }
            let packets = (json["steps"]?.array ?? []).flatMap { $0["receive"]?.array ?? [] }.filter { $0["mayDiffer"] == nil }
            guard !packets.isEmpty else { continue }
            let packet = packets[Int(entropy.uniform(below: UInt64(packets.count), for: EntropyLabel(.test, 1)))]
            let start = packet["packet"]?.offset ?? 0
            let length = packet["packet"]?.string?.utf8.count ?? 0
            let place = start + 1 + Int(entropy.uniform(below: UInt64(length), for: EntropyLabel(.test, 2)))
            var other = corpus
            var damaged = text
            damaged[place] = Self.flip(text[place])
            other.overlays["vectors/dht-exchanges.json"] = damaged
            let result = check.examine(corpus: other)
            #expect(!result.verdict.isPassed, "\(id), offset \(place)")
        }
    }
}
