import CompactEncoding
import Conformance
import ConformanceReports
import Dissection
import PacketCapture
import SansIO
import StrictJSON
import Testing

@Suite struct DiffTests {
    private func bundle(_ name: String) throws -> TraceBundle { try TraceBundle(path: Support.corpus().root + "/Fixtures/" + name) }

    /// The first packet of a kind whose payload has a field, with the field's place.
    private func find(_ bundle: TraceBundle, _ layer: Layer, _ field: String) throws -> (index: Int, range: Range<Int>) {
        let dissection = Dissection(bundle)
        for (index, packet) in dissection.packets.enumerated() {
            if let unit = packet.units.first(where: { $0.layer == layer && $0.isWire }), let record = unit.field(field) {
                return (index, record.range)
            }
        }
        throw CorpusError("no packet has \(layer.rawValue).\(field)", file: bundle.name)
    }

    @Test(arguments: ["connect-direct", "udx-messages", "secret-stream-xx", "kadepy-two-0.1.0"]) func aCaptureIsIdenticalToItself(
        name: String
    ) throws {
        let bundle = try bundle(name)
        let diff = Diff.compare(bundle, bundle)
        #expect(diff.verdict == .identical)
        #expect(DiffReport(diff).text(colours: false).contains("identical"))
    }

    @Test(arguments: [
        ("dht-bootstrap", Layer.dhtRPC, "tid"), ("dht-bootstrap", .dhtRPC, "command"), ("dht-bootstrap", .dhtRPC, "target"),
        ("dht-bootstrap", .dhtRPC, "id"), ("announce-lookup", .hyperDHT, "signature"), ("announce-lookup", .dhtRPC, "token"),
        ("udx-destroy", .udx, "ack"), ("udx-destroy", .udx, "seq"), ("udx-destroy", .udx, "window"), ("connect-direct", .noise, "e"),
        ("connect-direct", .noise, "encryptedPayload"), ("udx-messages", .udx, "payload"),
    ])
    func aCopyWithOneChangedFieldNamesExactlyThatField(name: String, layer: Layer, field: String) throws {
        let original = try bundle(name)
        let (index, range) = try find(original, layer, field)
        var payload = original.capture.packets[index].payload
        payload[range.lowerBound] ^= 1
        let diff = Diff.compare(original, original.with(capture: original.capture.replacingPayload(ofPacketAt: index, with: payload)))
        #expect(diff.findings.count == 1)
        let finding = try #require(diff.findings.first)
        #expect(finding.field == "\(layer.rawValue).\(field)")
        #expect(finding.offset == range.lowerBound)
        #expect(finding.packetA == original.capture.packets[index].number)
        #expect(finding.a != finding.b)
        #expect(finding.rule == .exact)
    }

    @Test(arguments: [
        "dht-bootstrap", "connect-direct", "connect-holepunch", "mutable-immutable", "protomux", "swarm-topic", "udx-both-ways",
    ])
    func twoRunsOfOneScenarioDifferOnlyAsDeclared(name: String) throws {
        let diff = Diff.compare(try bundle(name), try bundle("again/" + name))
        #expect(diff.relation == .runs)
        #expect(diff.findings.map { "\($0.kind) \($0.field) \($0.a) \($0.b)" } == [])
    }

    @Test(arguments: [
        ("connect-firewalled", "again/connect-holepunch"), ("udx-destroy", "again/udx-half-open"),
        ("dht-bootstrap", "again/connect-rejected"),
        ("secret-stream-messages", "again/protomux"), ("kadepy-nat-0.2.2", "kadepy-nat-0.3.0"),
    ])
    func differentScenariosDeviate(a: String, b: String) throws {
        #expect(Diff.compare(try bundle(a), try bundle(b)).verdict == .deviates)
    }

    @Test func aReusedEphemeralKeyDeviates() throws {
        // The other run's handshake with this run's ephemeral key: in two runs a key must never be the same.
        let (a, b) = (try bundle("connect-direct"), try bundle("again/connect-direct"))
        let (x, rangeX) = try find(a, .noise, "e")
        let (y, rangeY) = try find(b, .noise, "e")
        var payload = b.capture.packets[y].payload
        payload.replaceSubrange(rangeY, with: a.capture.packets[x].payload[rangeX])
        let diff = Diff.compare(a, b.with(capture: b.capture.replacingPayload(ofPacketAt: y, with: payload)))
        #expect(diff.findings.contains { $0.field == "noise.e" && $0.rule == .fresh })
    }

    @Test func htmlAndCommentsNameTheField() throws {
        let original = try bundle("udx-destroy")
        var payload = original.capture.packets[0].payload
        payload[12] ^= 1
        let diff = Diff.compare(original, original.with(capture: original.capture.replacingPayload(ofPacketAt: 0, with: payload)))
        #expect(DiffHTML(diff).text.contains("udx.seq"))
        #expect(DiffReport(diff).comments(packetsOfB: [1, 2, 3])[1]?.first?.contains("udx.seq, byte 12") == true)
    }

    @Test func theJSONFollowsItsSchema() throws {
        let schema = JSONSchema(root: try JSON.parse(try Support.corpus().read("schemas/diff.schema.json")))
        let diff = Diff.compare(try bundle("udx-destroy"), try bundle("again/udx-half-open"))
        #expect(schema.complaints(DiffReport(diff).json) == [])
    }

    /// Any byte of any payload: one finding, at that byte.
    @Test(arguments: ["mutable-immutable", "connect-holepunch", "udx-half-open", "protomux", "kadepy-nat-0.3.0"])
    func anyChangedByteIsOneFinding(name: String) throws {
        let original = try bundle(name)
        let dissection = Dissection(original)
        let entropy = SeededEntropy(seed: 7)
        let packets = original.capture.packets.indices.filter { !original.capture.packets[$0].payload.isEmpty }
        for _ in 0..<6 {
            let index = packets[Int(entropy.uniform(below: UInt64(packets.count), for: EntropyLabel(.test)))]
            var payload = original.capture.packets[index].payload
            let offset = Int(entropy.uniform(below: UInt64(payload.count), for: EntropyLabel(.test)))
            payload[offset] ^= 0x21
            let copy = original.with(capture: original.capture.replacingPayload(ofPacketAt: index, with: payload))
            let diff = Diff.compare(original, copy, dissection, Dissection(copy))
            #expect(diff.findings.count == 1)
            #expect(diff.findings.first?.offset == offset)
            #expect(diff.findings.first?.packetB == original.capture.packets[index].number)
            // KadePy's ciphertext has no fields of its own.
            if name != "kadepy-nat-0.3.0" { #expect(diff.findings.first?.field != "payload") }
        }
    }

    @Test func aPacketThatIsMissingIsNamed() throws {
        let original = try bundle("udx-half-open")
        var writer = PcapNGWriter(linkType: original.capture.file.frames[0].linkType)
        for frame in original.capture.file.frames where frame.number != 3 {
            writer.add(frame: original.capture.file.bytes.array(frame.range), timeNanoseconds: frame.timeNanoseconds)
        }
        let capture = Capture(try CaptureFile(CaptureBytes(writer.take(), name: "cut.pcapng")))
        let diff = Diff.compare(original, original.with(capture: capture))
        #expect(diff.findings.map(\.kind) == [.missing])
        #expect(diff.findings.first?.packetA == 3)
        let back = Diff.compare(original.with(capture: capture), original)
        #expect(back.findings.map(\.kind) == [.extra])
    }
}
