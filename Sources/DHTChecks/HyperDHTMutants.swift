import Conformance

/// One wire bug for each requirement of HyperDHT.
enum HyperDHTMutants {
    static let mutants: [Mutant] = [
        Mutant("HDHT-20", .hyperDHT(20), "A LOOKUP reply without bump is refused.")
    ]
}
