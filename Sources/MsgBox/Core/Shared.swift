/// A value that cannot be copied, in memory of its own: a structure that holds it can be copied, and
/// its copies have the value in common.
final class Shared<Value: ~Copyable> {
  var value: Value

  init(_ value: consuming Value) {
    self.value = value
  }
}
