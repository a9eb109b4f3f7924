import ArgumentParser
import Dissection
import Foundation
import PacketCapture

/// Measures dissection: the UDX recordings repeated to a number of packets, each field materialised and consumed.
struct PcapBenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures dissection, every field materialised and consumed.",
        discussion:
            "Prints packets a second and a checksum over all names, ranges and values. With --write the repeated capture goes to a file, so that other tools can be measured on the same packets."
    )

    @OptionGroup var corpus: CorpusOptions
    @Argument(help: "Captures or bundles; the UDX recordings of the corpus by default.") var captures: [String] = []
    @Option(help: "Packets to dissect.") var packets = 100_000
    @Option(help: ArgumentHelp("Write the repeated capture.", valueName: "file.pcap")) var write: String?

    func run() throws {
        let paths =
            captures.isEmpty
            ? try TraceBundle.folders(in: try corpus.load().root + "/Fixtures").filter { $0.contains("/udx-") && !$0.contains("/again/") }
            : captures
        var writer = PcapWriter()
        var frames: [(bytes: [UInt8], time: Int64)] = []
        for path in paths {
            let capture = try TraceBundle(path: path).capture
            for frame in capture.file.frames { frames.append((capture.file.bytes.array(frame.range), frame.timeNanoseconds)) }
        }
        guard !frames.isEmpty else { throw ValidationError("no packets to repeat") }
        for number in 0..<packets {
            writer.add(frame: frames[number % frames.count].bytes, timeNanoseconds: frames[number % frames.count].time)
        }
        let bytes = writer.bytes
        if let write { do { try Data(bytes).write(to: URL(fileURLWithPath: write)) } catch { throw OutputError(path: write) } }
        var best = Double.infinity
        var meter = FieldMeter()
        for _ in 0..<3 {
            let clock = ContinuousClock()
            let start = clock.now
            // From the file's bytes to the last field: index, link layer, IP, UDP, codec.
            let file = try CaptureFile(CaptureBytes(bytes, name: "repeated"))
            var decoder = PacketDecoder(file.bytes)
            meter = FieldMeter()
            for frame in file.frames {
                let packet = decoder.decode(frame)
                if packet.transport == .udp { meter.consume(packet.payload, to: packet.destination) }
            }
            let elapsed = clock.now - start
            best = min(best, Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18)
        }
        print("\(meter.packets) packets, \(meter.fields) fields, checksum \(String(meter.checksum, radix: 16))")
        print(String(format: "%.3f s, %.0f packets/s", best, Double(meter.packets) / best))
    }
}
