import StrictJSON

/// The requirements, in the order of the file. Loading is strict: an unknown or doubled key, an unknown value, a doubled id fails.
public struct Catalogue: Sendable {
    public static let schema = "hyperswarm-requirements/2"
    public static let path = "requirements.json"

    public let requirements: [Requirement]
    private let positions: [String: Int]

    public init(_ corpus: Corpus) throws { try self.init(text: try corpus.read(Catalogue.path)) }

    public init(text: [UInt8]) throws {
        let reader = StrictReader(file: Catalogue.path)
        let root = try reader.object(try reader.parse(text), keys: ["schema", "requirements"])
        let schema = try root.string("schema")
        guard schema == Catalogue.schema else {
            throw reader.error("schema \"\(Catalogue.schema)\" is expected, not \"\(schema)\"", at: root["schema"])
        }
        var requirements: [Requirement] = []
        var positions: [String: Int] = [:]
        for value in try root.array("requirements") {
            let entry = try reader.object(
                value, keys: ["id", "layer", "source", "text", "kind", "level", "reference", "subject", "tiers"],
                optional: ["condition", "note"])
            let id = try entry.string("id")
            guard positions.updateValue(requirements.count, forKey: id) == nil else {
                throw reader.error("the id \"\(id)\" stands twice", at: entry["id"])
            }
            let layer = try entry.string("layer")
            guard Layers.all.contains(layer) else { throw reader.error("unknown layer \"\(layer)\"", at: entry["layer"]) }
            let tiers = try entry.array("tiers").map { try reader.choice($0, Tier.allCases, "tier") }
            guard !tiers.isEmpty else { throw reader.error("\(id) names no tier", at: entry["tiers"]) }
            let subject: Subject
            switch try entry.string("subject") {
            case "codec": subject = .codec
            case "stack": subject = .stack
            case let other: throw reader.error("unknown subject \"\(other)\"", at: entry["subject"])
            }
            requirements.append(
                Requirement(
                    id: id, layer: layer, source: try entry.string("source"), text: try entry.string("text"),
                    kind: try reader.choice(entry.member("kind"), Requirement.Kind.allCases, "kind"),
                    level: try reader.choice(entry.member("level"), Requirement.Level.allCases, "level"),
                    reference: try reader.choice(entry.member("reference"), Requirement.Reference.allCases, "reference"),
                    subject: subject, tiers: tiers, condition: try entry.optionalString("condition"), note: try entry.optionalString("note")
                ))
        }
        guard !requirements.isEmpty else { throw reader.error("the catalogue is empty", at: root["requirements"]) }
        self.requirements = requirements
        self.positions = positions
    }

    public subscript(_ id: String) -> Requirement? { positions[id].map { requirements[$0] } }

    /// Position of an id in the file, for ordering.
    public func position(_ id: String) -> Int { positions[id] ?? requirements.count }
}
