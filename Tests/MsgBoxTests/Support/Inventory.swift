import MsgBox

/// What endpoints hold: at a moment, or the least or the most of each kind over several moments.
struct Inventory: CustomStringConvertible {
  static let fields: [(name: String, path: any KeyPath<Census, Int> & Sendable)] = [
    ("connections", \.connections), ("listeners", \.listeners),
    ("pendingHellos", \.pendingHellos), ("tombstones", \.tombstones),
    ("pathChanges", \.pathChanges), ("getsWaiting", \.getsWaiting),
    ("requestsOpen", \.requestsOpen), ("queuedMessages", \.queuedMessages),
    ("queuedBytes", \.queuedBytes), ("incompleteBytes", \.incompleteBytes),
    ("outboxMessages", \.outboxMessages),
  ]
  /// The census, and the entries in the rotations of heartbeats that are of ended sessions.
  static let names = fields.map(\.name) + ["ghosts"]

  /// In the order of the names.
  private(set) var numbers = [Int](repeating: 0, count: Inventory.names.count)

  init() {}

  init(_ node: Node) {
    let census = node.census
    numbers = Self.fields.map { census[keyPath: $0.path] }
    numbers.append(node.endpoint.rotationCensus.pendingCloses)
  }

  /// Of several nodes together.
  init(sum nodes: [Node]) {
    for node in nodes { combine(Inventory(node), +) }
  }

  mutating func combine(_ other: Inventory, _ operation: (Int, Int) -> Int) {
    for index in numbers.indices {
      numbers[index] = operation(numbers[index], other.numbers[index])
    }
  }

  /// The names of what is more here than in `bounds`.
  func exceeding(_ bounds: [Int]) -> [String] {
    Self.names.indices.filter { numbers[$0] > bounds[$0] }
      .map { "\(numbers[$0]) \(Self.names[$0])" }
  }

  var description: String {
    zip(Self.names, numbers).filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }
      .joined(separator: ", ")
  }
}

/// The least and the most of several moments.
struct InventoryRange {
  private(set) var least: Inventory
  private(set) var most: Inventory

  init(_ first: Inventory) {
    least = first
    most = first
  }

  mutating func add(_ inventory: Inventory) {
    least.combine(inventory, min)
    most.combine(inventory, max)
  }
}
