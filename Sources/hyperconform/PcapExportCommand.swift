import ArgumentParser
import Dissection
import Foundation
import KeyLog
import PacketCapture
import SansIO

struct PcapExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Writes a pcapng that Wireshark opens: key log inside, findings as packet comments.",
        discussion: """
            Long-term secret keys are left out of the embedded key log unless --static-secrets is given: whoever has them can be the peer.

            --decrypted also writes FILE.plain.pcapng: each opened plaintext as a UDP datagram to port 40404, which the dissector of
            "hyperconform pcap lua" reads; and it puts plaintexts into the packet comments.
            """)

    @OptionGroup var input: CaptureInput
    @Argument(help: ArgumentHelp("The file to write.", valueName: "out.pcapng")) var output: String
    @Flag(help: "Plaintexts too.") var decrypted = false
    @Flag(help: "Embed long-term secret keys.") var staticSecrets = false

    func run() throws {
        let bundle = try input.load()
        let dissection = Dissection(bundle)
        let keyLog = staticSecrets ? bundle.keyLog : bundle.keyLog?.withoutStaticSecrets()
        if !staticSecrets, bundle.keyLog?.holdsStaticSecrets == true {
            Terminal.warn("long-term secret keys are left out of the embedded key log; --static-secrets embeds them")
        }
        var comments: [Int: [String]] = [:]
        for packet in dissection.packets {
            var lines: [String] = []
            if !packet.summary.isEmpty { lines.append(packet.summary) }
            lines += packet.labels
            if decrypted {
                for unit in packet.units where !unit.isWire { lines.append("\(unit.layer.rawValue) \(unit.name): \(Plaintext.text(unit))") }
            }
            if !lines.isEmpty { comments[packet.number] = [lines.joined(separator: "\n")] }
        }
        for issue in dissection.issues { comments[issue.packet, default: []].append("problem: \(issue)") }
        try write(try CaptureExport.pcapng(bundle.capture, keyLog: keyLog, comments: comments), to: output)
        guard decrypted else { return }
        var writer = PcapNGWriter()
        for packet in dissection.packets {
            for unit in packet.units where !unit.isWire && unit.layer != .secretStream || unit.name == "plaintext" {
                let destination = Endpoint(packet.packet.destination.address, Plaintext.port)
                writer.add(
                    frame: FrameBuilder.udp(Plaintext.datagram(unit), from: packet.packet.source, to: destination),
                    timeNanoseconds: packet.packet.timeNanoseconds,
                    comments: ["from packet \(packet.number): \(unit.layer.rawValue) \(unit.name)"])
            }
        }
        try write(writer.bytes, to: output + ".plain.pcapng")
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        do { try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic) } catch { throw OutputError(path: path) }
    }
}

/// How plaintext is laid out for other tools: one byte for the layer, then the bytes.
enum Plaintext {
    static let port: UInt16 = 40404

    static func datagram(_ unit: ProtocolUnit) -> [UInt8] {
        [UInt8(Layer.allCases.firstIndex(of: unit.layer) ?? 255)] + Array(unit.bytes.prefix(60_000))
    }

    static func text(_ unit: ProtocolUnit) -> String {
        let bytes = unit.bytes.prefix(512)
        if bytes.allSatisfy({ (32..<127).contains($0) }) { return String(decoding: bytes, as: UTF8.self) }
        return bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() + (unit.bytes.count > 512 ? "..." : "")
    }
}
