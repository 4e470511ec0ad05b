/// A queue of plain values in a ring as large as a power of two; both ends in constant time.
///
/// What was taken out stays in its place until that is written again, so it is not for references.
struct Ring<Element> {
  /// A ring of at most so many places keeps them when it is empty.
  private static var kept: Int { 256 }

  private var places: [Element] = []
  private var head = 0
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  var isLarge: Bool { places.count > Self.kept }

  var first: Element? { count == 0 ? nil : places[head] }

  /// The element at `index` from the front, of `0 ..< count`.
  subscript(index: Int) -> Element {
    get { places[(head &+ index) & (places.count &- 1)] }
    _modify { yield &places[(head &+ index) & (places.count &- 1)] }
  }

  mutating func append(_ element: Element) {
    if count == places.count { grow(filledWith: element) }
    places[(head &+ count) & (places.count &- 1)] = element
    count &+= 1
  }

  mutating func popFirst() -> Element? {
    guard count > 0 else { return nil }
    let element = places[head]
    head = (head &+ 1) & (places.count &- 1)
    count &-= 1
    return element
  }

  mutating func removeFirst(_ number: Int = 1) {
    let removed = min(number, count)
    head = (head &+ removed) & max(places.count &- 1, 0)
    count -= removed
  }

  /// Gives the memory of a burst back once nothing is left of it.
  mutating func shrink() {
    guard count == 0, isLarge else { return }
    places = []
    head = 0
  }

  private mutating func grow(filledWith element: Element) {
    let size = max(8, places.count * 2)
    var larger: [Element] = []
    larger.reserveCapacity(size)
    for index in 0..<count { larger.append(self[index]) }
    while larger.count < size { larger.append(element) }
    places = larger
    head = 0
  }
}
