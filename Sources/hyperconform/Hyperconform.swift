import ArgumentParser

@main
struct Hyperconform: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hyperconform", abstract: "Judges whether an implementation speaks Hyperswarm as Node.js does, byte by byte.")
}
