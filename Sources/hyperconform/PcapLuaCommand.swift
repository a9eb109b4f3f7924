import ArgumentParser
import Dissection

struct PcapLuaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lua", abstract: "Writes a Wireshark dissector, generated from the codecs.",
        discussion: """
              hyperconform pcap lua > hyperswarm.lua
              tshark -X lua_script:hyperswarm.lua -r capture.pcap
            """)

    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("File to write; standard output by default.", valueName: "file"))
    var output: String?

    func run() throws { try Terminal.write(LuaDissector.text(version: Hyperconform.version), to: output) }
}
