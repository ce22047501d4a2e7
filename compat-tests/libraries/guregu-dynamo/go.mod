module stator/compat-tests/libraries/guregu-dynamo

go 1.25

require github.com/guregu/dynamo/v2 v2.1.1
