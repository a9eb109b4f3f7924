import ArgumentParser

/// Real nodes from the command line: a local network in one command, and what a person needs to try it.
struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node",
        abstract: "Runs real nodes: a local network in one command, and everything to try it with.",
        discussion: """
            A network on your machine, in two terminals:

              hyperconform node network --count 20 --port 49737
              hyperconform node announce my-topic && hyperconform node lookup my-topic

            There is no default bootstrap list: --bootstrap names the nodes of your network, and without it 127.0.0.1:49737 is asked.
            """,
        subcommands: [
            NodeBootstrapCommand.self, NodeNetworkCommand.self, NodeAnnounceCommand.self, NodeLookupCommand.self, NodePutCommand.self,
            NodeGetCommand.self, NodeListenCommand.self, NodeConnectCommand.self, NodePingCommand.self,
        ])
}
