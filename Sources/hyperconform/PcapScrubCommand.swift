import ArgumentParser
import Dissection
import Foundation
import PacketCapture

struct PcapScrubCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scrub", abstract: "Gives addresses pseudonyms and drops secrets, so that a capture can be shown to others.",
        discussion: """
            Node ids become the ids of the pseudonyms; tokens and signatures no longer verify. Addresses inside encrypted payloads stay, unreadable.
            What applications sent inside streams is readable with --session-keys only; without it no key leaves this machine.
            """)

    @OptionGroup var input: CaptureInput
    @Argument(help: ArgumentHelp("The file to write.", valueName: "out.pcapng")) var output: String
    @Flag(help: "Embed the session keys of secret streams.") var sessionKeys = false

    func run() throws {
        let bundle = try input.load()
        var scrubber = Scrubber()
        let bytes = scrubber.scrub(Dissection(bundle), keyLog: bundle.keyLog, sessionKeys: sessionKeys)
        do { try Data(bytes).write(to: URL(fileURLWithPath: output), options: .atomic) } catch { throw OutputError(path: output) }
    }
}
