import ArgumentParser

/// Each subcommand measures one thing and stands in a file of its own; `harness/bench` starts it from a release build.
@main
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures the stack on this machine, over loopback.",
        discussion:
            "CPU time is user and system time of the processes involved, from getrusage: on a shared machine it is the steadier figure.",
        subcommands: [UDXCommand.self, StreamsCommand.self, ConnectionCommand.self, DHTCommand.self])
}
