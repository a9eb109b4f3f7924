import ArgumentParser
import Dissection
import PacketCapture
import StrictJSON

struct PcapDoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Says why peers do not connect.",
        discussion: "Exit code 0 if nothing in the capture keeps peers apart, 1 if something does.")

    @OptionGroup var input: CaptureInput

    @Option(name: .long, help: "table for people, json for programs.")
    var format: OutputFormat = .table

    func run() throws {
        let bundle = try input.load()
        let diagnosis = Diagnosis(Dissection(bundle), hasKeyLog: bundle.keyLog != nil)
        switch format {
        case .json:
            let sentences = diagnosis.sentences.map {
                JSON.object(
                    JSONObject([
                        "weight": .string($0.weight.rawValue), "text": .string($0.text), "packets": .array($0.packets.map { .integer($0) }),
                    ]))
            }
            try Terminal.write(
                JSON.object(JSONObject(["schema": "hyperswarm-diagnosis/1", "name": .string(bundle.name), "sentences": .array(sentences)]))
                    .text(indent: 1) + "\n", to: nil)
        case .table:
            for sentence in diagnosis.sentences {
                let mark = ["problem": "✗", "warning": "!", "note": "·"][sentence.weight.rawValue] ?? "·"
                let where_ = sentence.packets.isEmpty ? "" : " (packets \(sentence.packets.map(String.init).joined(separator: ", ")))"
                Terminal.show("\(mark) \(sentence.text)\(where_)\n")
            }
        }
        if diagnosis.sentences.contains(where: { $0.weight == .problem }) { throw ExitCode(1) }
    }
}
