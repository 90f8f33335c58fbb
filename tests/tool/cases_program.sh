# addcow-img itself: help, versions, wrong command lines. Read in by test_tool.sh.

try="~Try 'addcow-img --help' for more information"
fresh
fails "no command" "Not enough arguments$try" "$img"
fails "unknown command" "Command not found: frob$try" "$img" frob
fails "unknown option before the command" "unrecognized option '--frob'$try" "$img" --frob info x
equal "version" "$("$img" --version)" "$("$img" -V)"
holds "version says so" grep -qEx 'addcow-img version [0-9.]+' <("$img" -V)
for command in check create info map; do
    holds "help names $command" grep -qE "^  $command " <("$img" --help)
    try="~Try 'addcow-img $command --help' for more information"
    equal "$command --help is $command -h" "$("$img" $command --help)" "$("$img" $command -h)"
    holds "$command --help begins with its usage" grep -qE "^usage: addcow-img $command " <("$img" $command --help)
    holds "$command --help wins over operands" "$img" $command x y z --help
    fails "$command: unknown long option" "unrecognized option '--frob'$try" "$img" $command --frob x
    fails "$command: unknown letter" "unrecognized option '-Z'$try" "$img" $command -Z x
    fails "$command: missing argument" "missing argument for option '-f'$try" "$img" $command x -f
done
for command in check info map; do
    try="~Try 'addcow-img $command --help' for more information"
    fails "$command: no file" "Expecting one image file name$try" "$img" $command
    fails "$command: two files" "Expecting one image file name$try" "$img" $command a b
    fails "$command: --output=xml" "--output must be used with human or json as argument\." "$img" $command --output=xml a
    fails "$command: --output without a word" "missing argument for option '--output'$try" "$img" $command a --output
    fails "$command: unknown letter in a word" "unrecognized option '-Z'$try" "$img" $command -UZ a
    fails "$command: no such file" "(\./)?nope.add-cow: .*No such file or directory.*" "$img" $command nope.add-cow
    fails "$command: other format" "x: Unknown file format 'qcow2': .*add-cow.*" "$img" $command -f qcow2 x
done
if [ -e /dev/full ]; then
    "$img" --help >/dev/full 2>"$work/err"
    equal "a full standard output is an error" "$? $(cat "$work/err")" \
        "1 addcow-img: standard output: cannot write: No space left on device"
fi
